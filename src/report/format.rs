//! Numbers, sizes, times and dates as a reader sees them. Formatting only: nothing here derives a figure.

/// A value with about four significant digits; whole numbers below a million stay whole.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "−∞" }.to_owned();
    }
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e6).contains(&size) {
        let exponent = size.log10().floor() as i32;
        // Through text, because 10^exponent itself overflows or vanishes at the ends of the range.
        let text = format!("{value:.3e}");
        let (mantissa, exponent) = match text.split_once('e') {
            Some((mantissa, exponent)) => (mantissa, exponent.parse().unwrap_or(exponent_of(size))),
            None => (text.as_str(), exponent),
        };
        return minus(format!("{mantissa}×10{}", superscript(exponent)));
    }
    if value.fract() == 0.0 {
        return minus(format!("{value:.0}"));
    }
    let decimals = (3 - exponent_of(size)).clamp(0, 6) as usize;
    fixed(value, decimals)
}

/// A value with a fixed number of decimals; what that cannot show goes through [`number`].
pub fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() || value.abs() >= 1e6 || (value != 0.0 && value.abs() < 0.5 * 0.1f64.powi(decimals as i32)) {
        // A value that the decimals would round to zero must not read as zero.
        return if value.is_finite() && value.abs() >= 0.5e-6 && value.abs() < 1e-3 && decimals > 2 {
            minus(format!("{value:.1e}"))
        } else {
            number(value)
        };
    }
    minus(format!("{value:.decimals$}"))
}

/// A share of one as percent, with two decimals.
pub fn percent(share: f64) -> String {
    if share.is_finite() {
        format!("{} %", fixed(100.0 * share, 2))
    } else {
        number(share)
    }
}

/// A whole number with commas between thousands.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size in bytes with a binary unit: `48 KiB`, `1.25 MiB`.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 6] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut size = value as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let text = format!("{size:.2}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text} {}", UNITS[unit])
}

/// A time given in nanoseconds, in the unit that suits it.
pub fn nanoseconds(value: f64) -> String {
    if !value.is_finite() {
        return number(value);
    }
    let (scaled, unit) = match value.abs() {
        size if size < 1e3 => (value, "ns"),
        size if size < 1e6 => (value / 1e3, "µs"),
        size if size < 1e9 => (value / 1e6, "ms"),
        _ => (value / 1e9, "s"),
    };
    format!("{} {unit}", number(scaled))
}

/// A time given in seconds: `8.3 s`, `2 min 05 s`.
pub fn seconds(value: f64) -> String {
    if !value.is_finite() || value < 0.0 {
        return format!("{} s", number(value));
    }
    if value < 60.0 {
        return format!("{value:.1} s");
    }
    let whole = value.round() as u64;
    format!("{} min {:02} s", whole / 60, whole % 60)
}

/// Seconds since 1970 as `2026-03-21 14:05 UTC`.
pub fn date(unix_s: u64) -> String {
    let days = unix_s / 86_400;
    let minutes = unix_s % 86_400 / 60;
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02} UTC",
        minutes / 60,
        minutes % 60
    )
}

/// Days since 1970-01-01 as (year, month, day) of the Gregorian calendar: Hinnant's `civil_from_days`, which counts from
/// 0000-03-01 in eras of 400 years so that the leap day comes last in its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// `-12` as `⁻¹²`.
pub fn superscript(exponent: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    exponent
        .to_string()
        .chars()
        .map(|sign_or_digit| sign_or_digit.to_digit(10).map_or('⁻', |digit| DIGITS[digit as usize]))
        .collect()
}

/// ASCII hyphen to a true minus sign.
pub fn minus(text: String) -> String {
    if text.starts_with('-') {
        text.replacen('-', "−", 1)
    } else {
        text
    }
}

/// `1 round`, `2 rounds`.
pub fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// floor(log10), for a positive value.
fn exponent_of(size: f64) -> i32 {
    size.log10().floor() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits_and_never_read_as_zero() {
        for (value, text) in [
            (0.0, "0"),
            (1024.0, "1024"),
            (62.1349, "62.13"),
            (0.38354, "0.3835"),
            (-1.5, "−1.500"),
            (1.0e-9, "1.000×10⁻⁹"),
            (2.5e12, "2.500×10¹²"),
            (f64::MAX, "1.798×10³⁰⁸"),
            (5e-324, "4.941×10⁻³²⁴"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "−∞"),
        ] {
            assert_eq!(number(value), text, "{value:e}");
        }
        assert_eq!(fixed(0.38354, 4), "0.3835");
        assert_ne!(fixed(1e-7, 4), "0.0000");
        assert_ne!(fixed(4e-5, 4), "0.0000");
    }

    #[test]
    fn sizes_times_and_dates() {
        assert_eq!(bytes(48 * 1024), "48 KiB");
        assert_eq!(bytes(100 << 20), "100 MiB");
        assert_eq!(bytes(5 << 18), "1.25 MiB");
        assert_eq!(bytes(100), "100 bytes");
        assert_eq!(nanoseconds(1_234_567.0), "1.235 ms");
        assert_eq!(seconds(125.0), "2 min 05 s");
        assert_eq!(count(203_530), "203,530");
        assert_eq!(count(999), "999");
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(4_102_444_799), "2099-12-31 23:59 UTC");
    }
}
