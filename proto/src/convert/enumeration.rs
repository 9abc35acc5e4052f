//! Enumerations with the same variants in the domain and on the wire.

/// Declares both conversions between an enumeration of the domain and one of the wire with the same
/// variants, with a visibility. Zero and unknown numbers are errors.
macro_rules! enumeration {
    ($vis:vis $from_wire:ident, $to_wire:ident: $domain:ident = $wire:ident { $($variant:ident),+ }) => {
        $vis fn $from_wire(field: &'static str, number: i32) -> Result<$domain, Malformed> {
            match wire::$wire::try_from(number) {
                $(Ok(wire::$wire::$variant) => Ok($domain::$variant),)+
                Ok(wire::$wire::Unspecified) => Err(Malformed::Unspecified(field)),
                Err(_) => Err(Malformed::Unknown { field, found: number }),
            }
        }

        $vis fn $to_wire(value: $domain) -> wire::$wire {
            match value {
                $($domain::$variant => wire::$wire::$variant,)+
            }
        }
    };
}

pub(super) use enumeration;
