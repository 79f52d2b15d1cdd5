//! Moments, as Optuna writes them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, seconds since 1970.
pub fn now_s() -> f64 {
    // A clock before 1970 is wrong anyway.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// `2025-05-09T12:45:12.707000+00:00`: Python's `isoformat` in UTC.
pub fn iso(unix_s: f64) -> String {
    let micros = (unix_s * 1e6).round() as i64;
    let (days, in_day) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    let (year, month, day) = date_of(days);
    let (seconds, micros) = (in_day / 1_000_000, in_day % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}+00:00")
}

/// Back; in UTC where no other zone is given.
pub fn parse(text: &str) -> Option<f64> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let sign = time.find(['+', '-', 'Z']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(sign);
    let seconds = |text: &str| {
        let mut sum = 0.0;
        for (part, unit) in text.split(':').zip([3600.0, 60.0, 1.0]) {
            sum += part.parse::<f64>().ok()? * unit;
        }
        Some(sum)
    };
    let offset = match zone.split_at_checked(1) {
        Some(("+", zone)) => seconds(zone)?,
        Some(("-", zone)) => -seconds(zone)?,
        _ => 0.0,
    };
    Some(days_of(year, month, day) as f64 * 86_400.0 + seconds(clock)? - offset)
}

/// Days since 1970 of a date of the Gregorian calendar (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day, back.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_pythons() {
        // datetime(2025, 5, 9, 12, 45, 12, 707000, timezone.utc).timestamp()
        assert_eq!(iso(1_746_794_712.707), "2025-05-09T12:45:12.707000+00:00");
        assert_eq!(iso(951_782_400.0), "2000-02-29T00:00:00.000000+00:00");
        for text in [
            "2025-05-09T12:45:12.707000+00:00",
            "2025-05-09T14:45:12.707+02:00",
            "2025-05-09T12:45:12.707",
        ] {
            assert_eq!(parse(text), Some(1_746_794_712.707), "{text}");
        }
        for days in (-800_000..800_000).step_by(397) {
            let (year, month, day) = date_of(days);
            assert_eq!(days_of(year, month, day), days);
        }
        assert_eq!((parse("yesterday"), parse("2025-05T1:2:3")), (None, None));
    }
}
