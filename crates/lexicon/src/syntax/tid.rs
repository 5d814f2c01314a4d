use super::{SyntaxError, serde_as_text};

/// Base 32 whose digits sort as their values do.
const ALPHABET: &[u8; 32] = b"234567abcdefghijklmnopqrstuvwxyz";
/// Length of a TID's text, in characters.
const LENGTH: usize = 13;
/// Bits of the clock id, the low end of a TID.
const CLOCK_BITS: u32 = 10;
/// Bits of the time: microseconds up to the year 2255.
const TIME_BITS: u32 = 53;

/// A timestamp identifier: microseconds since 1970 and a clock id, in 13 characters that sort by time.
///
/// Record keys of what is appended, and the `rev` of a commit, are TIDs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(u64);

impl Tid {
    /// The smallest: older than every real one.
    pub const ZERO: Tid = Tid(0);

    /// A TID of a time in microseconds since 1970 (its low 53 bits) and a clock id (its low 10 bits).
    pub const fn from_parts(micros: u64, clock_id: u16) -> Self {
        let time = micros & ((1 << TIME_BITS) - 1);
        let clock = clock_id as u64 & ((1 << CLOCK_BITS) - 1);
        Self((time << CLOCK_BITS) | clock)
    }

    /// The time in microseconds since 1970.
    pub const fn micros(self) -> u64 {
        self.0 >> CLOCK_BITS
    }

    /// The clock id, 0 to 1023: tells apart what two writers made in the same microsecond.
    pub const fn clock_id(self) -> u16 {
        (self.0 & ((1 << CLOCK_BITS) - 1)) as u16
    }

    /// The number that the text encodes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    fn text(self) -> [u8; LENGTH] {
        let mut text = [0; LENGTH];
        let mut rest = self.0;
        for digit in text.iter_mut().rev() {
            *digit = ALPHABET[(rest & 31) as usize];
            rest >>= 5;
        }
        text
    }
}

impl std::str::FromStr for Tid {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let error = |reason| SyntaxError::new("TID", text, reason);
        if text.len() != LENGTH {
            return Err(error("it must be 13 characters"));
        }
        let mut number = 0u64;
        for (index, byte) in text.bytes().enumerate() {
            let digit = match byte {
                b'2'..=b'7' => byte - b'2',
                b'a'..=b'z' => byte - b'a' + 6,
                _ => return Err(error("its characters are 2 to 7 and a to z")),
            };
            if index == 0 && digit > 15 {
                return Err(error("its first character must be 2 to 7 or a to j"));
            }
            number = (number << 5) | u64::from(digit);
        }
        Ok(Self(number))
    }
}

impl TryFrom<String> for Tid {
    type Error = SyntaxError;

    fn try_from(text: String) -> Result<Self, SyntaxError> {
        text.parse()
    }
}

impl TryFrom<&str> for Tid {
    type Error = SyntaxError;

    fn try_from(text: &str) -> Result<Self, SyntaxError> {
        text.parse()
    }
}

impl From<&Tid> for Tid {
    fn from(tid: &Tid) -> Self {
        *tid
    }
}

impl std::fmt::Display for Tid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.text();
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl std::fmt::Debug for Tid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

serde_as_text!(Tid);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_and_order_is_the_order_of_time() {
        let early = Tid::from_parts(1_700_000_000_000_000, 1023);
        let late = Tid::from_parts(1_700_000_000_000_001, 0);
        assert_eq!(
            (early.micros(), early.clock_id()),
            (1_700_000_000_000_000, 1023)
        );
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse::<Tid>().unwrap(), early);
        assert_eq!(Tid::ZERO.to_string(), "2222222222222");
        assert_eq!("jzzzzzzzzzzzz".parse::<Tid>().unwrap().as_u64(), u64::MAX);
    }
}
