//! Times as names of folders and as files have them, in UTC.

use crate::wandb::message::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;

/// Days in 400 years, after which the calendar repeats.
const DAYS_OF_ERA: i64 = 146_097;

/// Year, month, day, hour, minute, second.
type Fields = [i64; 6];

/// The time since 1970.
pub fn stamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { seconds: since.as_secs() as i64, nanos: since.subsec_nanos() as i32 }
}

/// Whole and broken seconds since 1970.
pub fn seconds(time: Timestamp) -> f64 {
    time.seconds as f64 + f64::from(time.nanos) * 1e-9
}

/// As `20260131_235959`.
pub fn compact(time: Timestamp) -> String {
    let [year, month, day, hour, minute, second] = fields(time.seconds);
    format!("{year:04}{month:02}{day:02}_{hour:02}{minute:02}{second:02}")
}

/// As `2026-01-31T23:59:59Z`.
pub fn iso(time: Timestamp) -> String {
    let [year, month, day, hour, minute, second] = fields(time.seconds);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Years are counted from the first of March of year 0, so that a leap day is a year's last; months
/// from March then begin after (153 m + 2) / 5 days.
fn fields(seconds: i64) -> Fields {
    let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let since_march = days + 719_468;
    let (era, day) = (since_march.div_euclid(DAYS_OF_ERA), since_march.rem_euclid(DAYS_OF_ERA));
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    [year, month, day_of_month, rest / 3600, rest / 60 % 60, rest % 60]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(iso(Timestamp { seconds, nanos: 0 }), expected);
        }
        assert_eq!(compact(Timestamp { seconds: 951_782_399, nanos: 5 }), "20000228_235959");
    }
}
