//! Words of the command line as what they mean.

use std::time::Duration;

use atcomms::lexicon::{AtUri, Severity};
use atcomms::subscribe::{Action, Budget, Trust};

pub(super) fn record_uri(text: &str) -> Result<AtUri, String> {
    let uri: AtUri = text
        .parse()
        .map_err(|error: atcomms::lexicon::SyntaxError| error.to_string())?;
    match uri.rkey() {
        Some(_) => Ok(uri),
        None => Err("that is no record: it takes at://AUTHOR/COLLECTION/KEY".to_owned()),
    }
}

pub(super) fn action(text: &str) -> Result<Action, String> {
    match text {
        "create" => Ok(Action::Create),
        "update" => Ok(Action::Update),
        "delete" => Ok(Action::Delete),
        _ => Err("an action is create, update or delete".to_owned()),
    }
}

pub(super) fn trust(text: &str) -> Result<Trust, String> {
    match text {
        "verified" => Ok(Trust::Verified),
        "relayed" => Ok(Trust::Relayed),
        "jetstream" => Ok(Trust::Jetstream),
        _ => Err("trust is verified, relayed or jetstream".to_owned()),
    }
}

pub(super) fn severity(text: &str) -> Result<Severity, String> {
    match text {
        "info" => Ok(Severity::Info),
        "notice" => Ok(Severity::Notice),
        "warning" => Ok(Severity::Warning),
        "critical" => Ok(Severity::Critical),
        _ => Err("a severity is info, notice, warning or critical".to_owned()),
    }
}

/// The longest duration that makes sense for a command; sums of times stay within what clocks hold.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// A number with ms, s, m, h or d; several add up (`1h30m`).
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        |_| "a duration is a number with its unit, such as 500ms, 30s, 10m or 2h".to_owned();
    let duration = humantime::parse_duration(text).map_err(wrong)?;
    if duration.is_zero() || duration > LONGEST {
        return Err("a duration is more than nothing, and a year at most".to_owned());
    }
    Ok(duration)
}

/// A number of events and a duration (`100/1m`).
pub(super) fn budget(text: &str) -> Result<Budget, String> {
    let wrong =
        || "a budget is a number of records and a duration, such as 100/1m or 5000/1h".to_owned();
    let (events, per) = text.split_once('/').ok_or_else(wrong)?;
    let events = events.parse().map_err(|_| wrong())?;
    Ok(Budget::new(events, duration(per)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_a_unit() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert!(duration("5").unwrap_err().contains("30s"));
        for unreasonable in ["0s", "500000000000y", "2y"] {
            assert!(duration(unreasonable).is_err(), "{unreasonable}");
        }
    }

    #[test]
    fn a_budget_is_so_many_in_such_a_time() {
        let hundred = Budget::new(100, Duration::from_secs(60));
        assert_eq!(budget("100/1m"), Ok(hundred));
        for wrong in ["100", "1m/100", "-1/1m", "100/0s"] {
            assert!(budget(wrong).is_err(), "{wrong}");
        }
    }
}
