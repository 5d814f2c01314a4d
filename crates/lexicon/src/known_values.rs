//! The macro for texts whose values are known today and may grow tomorrow (`knownValues`, never `enum`).

/// A text with known values: an enum that also takes any other, so that a value of tomorrow is read and kept.
macro_rules! known_values {
    (
        $(#[$meta:meta])*
        pub enum $type:ident {
            $($(#[$vmeta:meta])* $variant:ident = $text:literal $(| $older:literal)*,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $type {
            $($(#[$vmeta])* $variant,)*
            /// A value that this version does not know.
            Other(String),
        }

        impl $type {
            /// The values with a known meaning.
            pub const KNOWN: &'static [&'static str] = &[$($text),*];

            /// The text on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for $type {
            fn from(text: &str) -> Self {
                match text {
                    $($text $(| $older)* => Self::$variant,)*
                    _ => Self::Other(text.to_owned()),
                }
            }
        }

        impl From<String> for $type {
            fn from(text: String) -> Self {
                Self::from(text.as_str())
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl $crate::shape::Shape for $type {
            const KIND: $crate::schema::Kind = $crate::schema::Kind::Text {
                format: None,
                known_values: Self::KNOWN,
            };

            fn read(value: $crate::value::Value) -> Result<Self, $crate::Invalid> {
                <String as $crate::shape::Shape>::read(value).map(Self::from)
            }

            fn write(&self) -> $crate::value::Value {
                $crate::value::Value::Text(self.as_str().to_owned())
            }

            fn check(&self, limits: &$crate::schema::Limits) -> Result<(), $crate::Invalid> {
                $crate::shape::check_text(self.as_str(), limits)
            }
        }

        $crate::object::serde_as_shape!($type);
    };
}

pub(crate) use known_values;
