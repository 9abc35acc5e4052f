//! A table of settings, declared once: struct, defaults, flags and help texts.

use crate::range::Range;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

/// The kind of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value with a default.
    Value,
    /// A value without a default.
    Optional,
    /// On or off; off by default.
    Switch,
    /// A URL whose password is hidden in output.
    Url,
    /// A secret. Has no flag, because all users of a machine can read a process's arguments.
    Secret,
}

/// The description of one setting.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// Key in a file; the flag has hyphens instead of underscores.
    pub name: &'static str,
    /// Help text.
    pub help: &'static str,
    /// Kind of the setting.
    pub kind: Kind,
}

impl Described {
    /// Returns whether messages hide the value or a part of it.
    pub(super) fn hides(&self) -> bool {
        matches!(self.kind, Kind::Url | Kind::Secret)
    }
}

/// A table of settings, implemented by [`settings!`](crate::settings!).
pub trait SettingsTable: Serialize + DeserializeOwned + Default {
    /// All settings, in the order of their declaration.
    const TABLE: &'static [Described];

    /// Additional names of flags, as (key, flag).
    const ALIASES: &'static [(&'static str, &'static str)];

    /// Settings that have moved, as (key, new location).
    const MOVED: &'static [(&'static str, &'static str)];

    /// The ranges of numbers, as (key, range).
    const RANGES: &'static [(&'static str, Range)];

    /// Returns the defaults, with an example value of the right type for each optional setting.
    fn example() -> Self;
}

/// The flags of all settings of the table `T` as strings, for `#[command(flatten)]`.
#[derive(Clone, Debug)]
pub struct Flags<T> {
    given: Vec<(String, String)>,
    table: PhantomData<fn() -> T>,
}

impl<T> Default for Flags<T> {
    fn default() -> Self {
        Self { given: Vec::new(), table: PhantomData }
    }
}

impl<T> Flags<T> {
    /// Returns the given flags as (key, text), for [`Layers::flags`](crate::Layers::flags).
    pub fn given(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.given.iter().cloned()
    }
}

fn flag(name: &str) -> String {
    name.replace('_', "-")
}

fn off(name: &str) -> String {
    format!("no-{}", flag(name))
}

/// Returns the help text of a setting, with the range of a number.
fn help<T: SettingsTable>(setting: &Described) -> String {
    let text = setting.help.trim();
    match T::RANGES.iter().find(|(name, _)| *name == setting.name) {
        Some((_, range)) => format!("{text} [range: {range}]"),
        None => text.to_owned(),
    }
}

fn argument<T: SettingsTable>(setting: &Described) -> Arg {
    let argument = Arg::new(setting.name).long(flag(setting.name)).help(help::<T>(setting));
    let ours = T::ALIASES.iter().filter(|(name, _)| *name == setting.name);
    let argument = argument.aliases(ours.map(|(_, alias)| *alias));
    match setting.kind {
        Kind::Switch => argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("true|false"),
        _ => argument.value_name("VALUE").allow_hyphen_values(true).num_args(1),
    }
}

impl<T: SettingsTable> Args for Flags<T> {
    fn augment_args(command: Command) -> Command {
        let shown = T::TABLE.iter().filter(|setting| setting.kind != Kind::Secret);
        let switches = T::TABLE.iter().filter(|setting| setting.kind == Kind::Switch);
        let offs = switches.map(|setting| {
            let name = off(setting.name);
            Arg::new(name.clone()).long(name).hide(true).num_args(0).action(ArgAction::SetTrue)
        });
        // clap accepts moved flags, so that our error can name the new location.
        let moved = T::MOVED.iter().map(|(name, _)| {
            Arg::new(*name).long(flag(name)).hide(true).num_args(0..=1).allow_hyphen_values(true)
        });
        command.args(shown.map(argument::<T>)).args(offs).args(moved)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<T: SettingsTable> FromArgMatches for Flags<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Vec::new();
        for setting in T::TABLE.iter().filter(|setting| setting.kind != Kind::Secret) {
            if let Some(value) = matches.get_one::<String>(setting.name) {
                given.push((setting.name.to_owned(), value.clone()));
            }
            if setting.kind == Kind::Switch && matches.get_flag(&off(setting.name)) {
                given.push((setting.name.to_owned(), "false".to_owned()));
            }
        }
        for (name, _) in T::MOVED {
            if matches.contains_id(name) {
                let value = matches.get_one::<String>(name).cloned();
                given.push(((*name).to_owned(), value.unwrap_or_default()));
            }
        }
        Ok(Self { given, table: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Names that [`settings!`](crate::settings!) needs in the crate that uses it.
#[doc(hidden)]
pub mod private {
    pub use serde;
}

/// Declares a table of settings: a struct that serde reads and writes, with
/// [`SettingsTable`](crate::table::SettingsTable) for its flags.
///
/// ```
/// use ddpo_settings::Range;
///
/// ddpo_settings::settings! {
///     /// The settings of the sampler.
///     pub struct SamplerSettings;
///     values {
///         /// Samples denoised together
///         batch_size: usize = 8;
///     }
///     optional {
///         /// CPU threads; all by default
///         threads: usize = 1;
///     }
///     switches {
///         /// Keep the last trajectories in memory
///         keep_last;
///     }
///     ranges {
///         batch_size = Range::COUNT;
///         threads = Range::COUNT;
///     }
/// }
/// assert_eq!(SamplerSettings::default().batch_size, 8);
/// ```
///
/// The value of an optional setting is an example that determines the type in files. Further sections, all
/// optional and in this order: `urls { name = default; }` for [`SecretUrl`](crate::SecretUrl) fields,
/// `secrets { name; }` for `Option<Secret>` fields without flags, `aliases { name = "other-flag"; }` for
/// additional names of flags, `moved { name = "new location"; }` for settings that are rejected with a
/// hint, and `ranges { name = Range; }` for the [`Range`](crate::Range) of each number.
#[macro_export]
macro_rules! settings {
    (
        $(#[$attribute:meta])*
        pub struct $Settings:ident;
        $( values { $( $(#[doc = $help:literal])+ $name:ident: $type:ty = $default:expr; )* } )?
        $( optional {
            $( $(#[doc = $ohelp:literal])+ $oname:ident: $otype:ty = $example:expr; )*
        } )?
        $( switches { $( $(#[doc = $shelp:literal])+ $sname:ident; )* } )?
        $( urls { $( $(#[doc = $uhelp:literal])+ $uname:ident = $url:expr; )* } )?
        $( secrets { $( $(#[doc = $xhelp:literal])+ $xname:ident; )* } )?
        $( aliases { $( $aname:ident = $alias:literal; )* } )?
        $( moved { $( $mname:ident = $now:literal; )* } )?
        $( ranges { $( $rname:ident = $range:expr; )* } )?
    ) => {
        $(#[$attribute])*
        #[derive(
            Clone, Debug, PartialEq,
            $crate::table::private::serde::Serialize,
            $crate::table::private::serde::Deserialize,
        )]
        #[serde(crate = "ddpo_settings::table::private::serde", deny_unknown_fields)]
        pub struct $Settings {
            $( $( $(#[doc = $help])+ pub $name: $type, )* )?
            $( $( $(#[doc = $shelp])+ pub $sname: bool, )* )?
            $( $( $(#[doc = $uhelp])+ pub $uname: $crate::secret::SecretUrl, )* )?
            $( $(
                $(#[doc = $ohelp])+
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $oname: Option<$otype>,
            )* )?
            $( $(
                $(#[doc = $xhelp])+
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $xname: Option<$crate::secret::Secret>,
            )* )?
        }

        impl Default for $Settings {
            fn default() -> Self {
                Self {
                    $( $( $name: $default, )* )?
                    $( $( $sname: false, )* )?
                    $( $( $uname: $url, )* )?
                    $( $( $oname: None, )* )?
                    $( $( $xname: None, )* )?
                }
            }
        }

        impl $crate::table::SettingsTable for $Settings {
            const TABLE: &'static [$crate::table::Described] = &[
                $( $( $crate::table::Described {
                    name: stringify!($name),
                    help: concat!($($help),+),
                    kind: $crate::table::Kind::Value,
                }, )* )?
                $( $( $crate::table::Described {
                    name: stringify!($oname),
                    help: concat!($($ohelp),+),
                    kind: $crate::table::Kind::Optional,
                }, )* )?
                $( $( $crate::table::Described {
                    name: stringify!($sname),
                    help: concat!($($shelp),+),
                    kind: $crate::table::Kind::Switch,
                }, )* )?
                $( $( $crate::table::Described {
                    name: stringify!($uname),
                    help: concat!($($uhelp),+),
                    kind: $crate::table::Kind::Url,
                }, )* )?
                $( $( $crate::table::Described {
                    name: stringify!($xname),
                    help: concat!($($xhelp),+),
                    kind: $crate::table::Kind::Secret,
                }, )* )?
            ];

            const ALIASES: &'static [(&'static str, &'static str)] =
                &[ $( $( (stringify!($aname), $alias), )* )? ];

            const MOVED: &'static [(&'static str, &'static str)] =
                &[ $( $( (stringify!($mname), $now), )* )? ];

            const RANGES: &'static [(&'static str, $crate::range::Range)] =
                &[ $( $( (stringify!($rname), $range), )* )? ];

            #[allow(clippy::needless_update)]
            fn example() -> Self {
                Self {
                    $( $( $oname: Some($example), )* )?
                    $( $( $xname: Some($crate::secret::Secret::new("")), )* )?
                    ..Self::default()
                }
            }
        }
    };
}
