//! From figures to places on a picture: both axes are logarithmic.

/// A logarithmic axis: `low..high` on the data's side, `start..end` on the picture's.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Scale {
    /// An axis over `low..high`, both above zero.
    pub fn new(low: f64, high: f64, start: f64, end: f64) -> Scale {
        assert!(0.0 < low && low < high);
        Scale { low, high, start, end }
    }

    /// Where `value` is drawn; values outside are drawn at the border.
    pub fn place(self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        self.start + (self.end - self.start) * (value / self.low).ln() / (self.high / self.low).ln()
    }

    /// Whether the axis goes as far as `value`.
    pub fn reaches(self, value: f64) -> bool {
        value <= self.high * (1.0 + 1e-9)
    }
}

/// 1, 2, 5 times powers of ten within `low..=high`; only powers of ten when that would be many.
pub fn ticks(low: f64, high: f64) -> Vec<f64> {
    let decades = (high / low).log10();
    let steps: &[f64] = if decades > 3.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let first = low.log10().floor() as i32;
    let last = high.log10().ceil() as i32;
    let all = (first..=last).flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)));
    all.filter(|tick| (low * 0.999..=high * 1.001).contains(tick)).collect()
}

/// The nearest of 1, 2, 5 times a power of ten at or below `value`.
pub fn round_down(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let step = [5.0, 2.0, 1.0].into_iter().find(|step| step * power <= value * 1.000_001).unwrap_or(1.0);
    step * power
}

/// The nearest of 1, 2, 5 times a power of ten at or above `value`.
pub fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * power >= value * 0.999_999).unwrap_or(10.0);
    step * power
}

/// Moves `wanted` places apart until each is at least `gap` from the next, in the same order, as little as needed.
pub fn spread(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let mut places = wanted.to_vec();
    let mut floor = low;
    for &at in &order {
        places[at] = places[at].max(floor);
        floor = places[at] + gap;
    }
    let mut ceiling = high;
    for &at in order.iter().rev() {
        places[at] = places[at].min(ceiling);
        ceiling = places[at] - gap;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_are_equally_wide() {
        let scale = Scale::new(1.0, 1000.0, 0.0, 300.0);
        for (value, place) in [(1.0, 0.0), (10.0, 100.0), (1000.0, 300.0), (0.1, 0.0), (1e9, 300.0)] {
            assert!((scale.place(value) - place).abs() < 1e-9, "{value}");
        }
        assert!(scale.reaches(1000.0) && !scale.reaches(1001.0));
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(50.0, 1000.0), [50.0, 100.0, 200.0, 500.0, 1000.0]);
        assert_eq!(ticks(1.0, 1e5).len(), 6);
    }

    #[test]
    fn limits_are_rounded_outwards() {
        for (value, down, up) in [(73.0, 50.0, 100.0), (50.0, 50.0, 50.0), (1.0, 1.0, 1.0), (0.3, 0.2, 0.5)] {
            assert!((round_down(value) - down).abs() < 1e-9, "{value}");
            assert!((round_up(value) - up).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn labels_keep_their_distance_and_order() {
        assert_eq!(spread(&[10.0, 11.0, 50.0], 15.0, 0.0, 100.0), [10.0, 25.0, 50.0]);
        assert_eq!(spread(&[99.0, 98.0], 15.0, 0.0, 100.0), [100.0, 85.0]);
    }
}
