//! The macros that make a type of a list of fields: struct, constructor, reading, writing, limits and `FIELDS` come from
//! one line for each field, and so cannot drift apart.

/// Serde by way of the data model.
macro_rules! serde_as_shape {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::shape::Shape::write(self).serialize(serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = $crate::value::Value::deserialize(deserializer)?;
                <$name as $crate::shape::Shape>::read(value).map_err(serde::de::Error::custom)
            }
        }
    };
}

/// A struct with a lexicon's fields.
///
/// `field: Type = "nameOnTheWire" | "olderName", limits;` in one of four sections: `required`, `stamped` (required, and
/// filled in by the constructor with the default that follows `else`), `optional`, `list`. Every struct also keeps the
/// fields that it does not know, in `extra`. `lenient` names a function that brings older forms of the whole object into
/// today's before it is read.
macro_rules! object {
    (
        $(#[$meta:meta])*
        pub struct $type:ident = $id:literal $(lenient $lenient:path)? {
            $(required { $(
                $(#[$rmeta:meta])*
                $rfield:ident: $rtype:ty = $rname:literal $(| $rolder:literal)* $(, $rlimits:expr)?;
            )* })?
            $(stamped { $(
                $(#[$smeta:meta])*
                $sfield:ident: $stype:ty = $sname:literal else $sdefault:expr;
            )* })?
            $(optional { $(
                $(#[$ometa:meta])*
                $ofield:ident: $otype:ty = $oname:literal $(| $oolder:literal)* $(, $olimits:expr)?;
            )* })?
            $(list { $(
                $(#[$lmeta:meta])*
                $lfield:ident: $ltype:ty = $lname:literal $(| $lolder:literal)* $(, $llimits:expr)?;
            )* })?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $type {
            $($($(#[$rmeta])* pub $rfield: $rtype,)*)?
            $($($(#[$ometa])* pub $ofield: Option<$otype>,)*)?
            $($($(#[$lmeta])* pub $lfield: Vec<$ltype>,)*)?
            $($($(#[$smeta])* pub $sfield: $stype,)*)?
            /// The fields that this version of the lexicon does not know; they survive reading and writing.
            pub extra: $crate::value::Map,
        }

        impl $type {
            /// What the lexicon says of each field.
            pub const FIELDS: &'static [$crate::schema::Field] = &[
                $($($crate::shape::field::<$rtype>($rname, $crate::object::limits!($($rlimits)?)),)*)?
                $($($crate::shape::field::<$otype>($oname, $crate::object::limits!($($olimits)?)).as_optional(),)*)?
                $($($crate::shape::field::<$ltype>($lname, $crate::object::limits!($($llimits)?)).as_list(),)*)?
                $($($crate::shape::field::<$stype>($sname, $crate::schema::Limits::NONE),)*)?
            ];

            /// The required fields, and nothing else.
            #[allow(clippy::too_many_arguments, reason = "a lexicon has the fields it has")]
            fn bare($($($rfield: $rtype),*)?) -> Self {
                Self {
                    $($($rfield,)*)?
                    $($($ofield: None,)*)?
                    $($($lfield: Vec::new(),)*)?
                    $($($sfield: $sdefault,)*)?
                    extra: $crate::value::Map::new(),
                }
            }

            $($(
                #[doc = concat!("With `", $oname, "`.")]
                #[must_use]
                #[allow(clippy::wrong_self_convention, reason = "it is named as the field is")]
                pub fn $ofield(mut self, $ofield: impl Into<$otype>) -> Self {
                    self.$ofield = Some($ofield.into());
                    self
                }
            )*)?

            $($(
                #[doc = concat!("With `", $lname, "`.")]
                #[must_use]
                pub fn $lfield<I>(mut self, $lfield: I) -> Self
                where
                    I: IntoIterator,
                    I::Item: Into<$ltype>,
                {
                    self.$lfield = $lfield.into_iter().map(Into::into).collect();
                    self
                }
            )*)?

            /// Whether every field keeps to its limits.
            pub fn validate(&self) -> Result<(), $crate::Invalid> {
                $($($crate::shape::check(&self.$rfield, $rname, &$crate::object::limits!($($rlimits)?))?;)*)?
                $($(if let Some(value) = &self.$ofield {
                    $crate::shape::check(value, $oname, &$crate::object::limits!($($olimits)?))?;
                })*)?
                $($($crate::shape::check_list(&self.$lfield, $lname, &$crate::object::limits!($($llimits)?))?;)*)?
                Ok(())
            }

            fn read_fields(mut map: $crate::value::Map) -> Result<Self, $crate::Invalid> {
                Ok(Self {
                    $($($rfield: $crate::shape::required(&mut map, &[$rname $(, $rolder)*])?,)*)?
                    $($($ofield: $crate::shape::optional(&mut map, &[$oname $(, $oolder)*])?,)*)?
                    $($($lfield: $crate::shape::list(&mut map, &[$lname $(, $lolder)*])?,)*)?
                    $($($sfield: $crate::shape::required(&mut map, &[$sname])?,)*)?
                    extra: map,
                })
            }

            fn write_fields(&self) -> $crate::value::Map {
                use $crate::shape::Shape as _;
                let mut map = self.extra.clone();
                $($(map.insert($rname.to_owned(), self.$rfield.write());)*)?
                $($(if let Some(value) = &self.$ofield {
                    map.insert($oname.to_owned(), value.write());
                })*)?
                $($(if !self.$lfield.is_empty() {
                    let list = self.$lfield.iter().map(|item| item.write()).collect();
                    map.insert($lname.to_owned(), $crate::value::Value::List(list));
                })*)?
                $($(map.insert($sname.to_owned(), self.$sfield.write());)*)?
                map
            }
        }

        impl $crate::shape::Shape for $type {
            const KIND: $crate::schema::Kind = $crate::schema::Kind::Ref($id);

            fn read(value: $crate::value::Value) -> Result<Self, $crate::Invalid> {
                $(let value = $lenient(value);)?
                Self::read_fields(<$crate::value::Map as $crate::shape::Shape>::read(value)?)
            }

            fn write(&self) -> $crate::value::Value {
                $crate::value::Value::Map(self.write_fields())
            }

            fn check(&self, _: &$crate::schema::Limits) -> Result<(), $crate::Invalid> {
                self.validate()
            }
        }

        $crate::object::serde_as_shape!($type);
    };
}

/// The struct of a record: an [`object!`] with `createdAt`, and its [`Record`](crate::Record) implementation.
macro_rules! record {
    (
        $(#[$meta:meta])*
        pub struct $type:ident = $id:literal, key $key:ident
            $(, author $author:ident)? $(, derived $derived:path)? $(, also $also:literal)*
        {
            $(required { $($required:tt)* })?
            $(optional { $($optional:tt)* })?
            $(list { $($list:tt)* })?
        }
    ) => {
        $crate::object::object! {
            $(#[$meta])*
            pub struct $type = $id {
                $(required { $($required)* })?
                stamped {
                    /// When the author says that it was written.
                    created_at: $crate::Datetime = "createdAt" else $crate::Datetime::now();
                }
                $(optional { $($optional)* })?
                $(list { $($list)* })?
            }
        }

        impl $type {
            /// With another time of writing than now.
            #[must_use]
            pub fn created_at(mut self, created_at: $crate::Datetime) -> Self {
                self.created_at = created_at;
                self
            }

            pub(crate) const DEFINITION: $crate::schema::Definition = $crate::schema::Definition {
                id: $id,
                key: Some($crate::KeyType::$key),
                fields: Self::FIELDS,
            };
        }

        impl $crate::Record for $type {
            const NSID: &'static str = $id;
            const KEY: $crate::KeyType = $crate::KeyType::$key;
            const ALSO: &'static [&'static str] = &[$($also),*];

            fn validate(&self) -> Result<(), $crate::Invalid> {
                $type::validate(self)
            }

            $(fn claimed_author(&self) -> Option<&$crate::Did> {
                Some(&self.$author)
            })?

            $(fn derived_key(&self) -> Option<$crate::RecordKey> {
                $derived(self)
            })?

            fn to_map(&self) -> Result<$crate::value::Map, $crate::value::ValueError> {
                Ok(self.write_fields())
            }

            fn from_map(map: $crate::value::Map) -> Result<Self, $crate::Invalid> {
                Self::read_fields(map)
            }
        }
    };
}

/// The object of a definition in `agent.comms.defs`.
macro_rules! definition {
    ($type:ident = $id:literal) => {
        impl $type {
            pub(crate) const DEFINITION: $crate::schema::Definition = $crate::schema::Definition {
                id: $id,
                key: None,
                fields: Self::FIELDS,
            };
        }
    };
}

macro_rules! limits {
    () => {
        $crate::schema::Limits::NONE
    };
    ($limits:expr) => {
        $limits
    };
}

pub(crate) use {definition, limits, object, record, serde_as_shape};
