//! Kubernetes quantities, as far as requests and limits need them: checked and compared, the text kept.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A non-negative quantity such as `250m`, `64Mi` or `1e3`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quantity {
    text: String,
}

/// A text that is no quantity.
#[derive(Debug, PartialEq, Eq)]
pub struct NotAQuantity;

impl Quantity {
    /// The quantity in its base unit (cores, bytes).
    #[must_use]
    fn value(&self) -> f64 {
        parse(&self.text).unwrap_or_default()
    }
}

impl FromStr for Quantity {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text)
            .map(|_| Quantity {
                text: text.to_owned(),
            })
            .ok_or(NotAQuantity)
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.value().partial_cmp(&other.value())
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn parse(text: &str) -> Option<f64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let number: f64 = digits.parse().ok()?;
    let scale = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "Ei" => 1024f64.powi(6),
        _ => 10f64.powi(suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    Some(number * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_values() {
        for text in ["0", "10m", "0.5", "64Mi", "1e3", "2E2", "3E", "128974848"] {
            assert!(text.parse::<Quantity>().is_ok(), "{text}");
        }
        for text in ["", "-1", "64MB", "10 m", "one", "1.2.3", ".", "Mi", "1ee"] {
            assert_eq!(text.parse::<Quantity>(), Err(NotAQuantity), "{text}");
        }
    }

    #[test]
    fn order() {
        let less =
            |a: &str, b: &str| a.parse::<Quantity>().unwrap() < b.parse::<Quantity>().unwrap();
        assert!(less("64M", "64Mi"));
        assert!(less("999m", "1"));
        assert!(!less("1Gi", "1024Mi"));
    }
}
