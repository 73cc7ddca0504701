//! Days, ISO weeks and months by number: what a cadence counts in.

use crate::rules::program::Bucket;

/// The number of the bucket that a local day, since the epoch, lies in.
#[must_use]
pub fn bucket_of(bucket: Bucket, day: i32) -> i32 {
    match bucket {
        Bucket::Day => day,
        // The epoch was a Thursday.
        Bucket::Week => day.saturating_add(3).div_euclid(7),
        Bucket::Month => {
            let (year, month) = civil(day);
            year * 12 + month - 1
        }
    }
}

/// The first local day of a bucket.
#[must_use]
pub const fn first_day(bucket: Bucket, number: i32) -> i32 {
    match bucket {
        Bucket::Day => number,
        Bucket::Week => number.saturating_mul(7).saturating_sub(3),
        Bucket::Month => day_of(number.div_euclid(12), number.rem_euclid(12) + 1),
    }
}

/// Days of 400 years, after which the calendar repeats.
const CYCLE: i64 = 146_097;
/// Days from 1 March of the year 0 to the epoch.
const EPOCH: i64 = 719_468;

/// Year and month of a day. Years begin in March here, so that a leap day is the last of its year.
fn civil(day: i32) -> (i32, i32) {
    let shifted = i64::from(day) + EPOCH;
    let (cycle, of_cycle) = (shifted.div_euclid(CYCLE), shifted.rem_euclid(CYCLE));
    let of_cycle_year = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * of_cycle_year + of_cycle_year / 4 - of_cycle_year / 100);
    let month = (5 * of_year + 2) / 153;
    let year = cycle * 400 + of_cycle_year + i64::from(month >= 10);
    let month = if month < 10 { month + 3 } else { month - 9 };
    (i32::try_from(year).unwrap_or(i32::MAX / 24), i32::try_from(month).unwrap_or(1))
}

/// The first day of a month.
const fn day_of(year: i32, month: i32) -> i32 {
    let year = year as i64 - (month <= 2) as i64;
    let month = if month > 2 { month - 3 } else { month + 9 } as i64;
    let (cycle, of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5;
    let day = cycle * CYCLE + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + of_year - EPOCH;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "months that fit an i32 have days that are far within"
    )]
    let day = day as i32;
    day
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::{bucket_of, first_day};
    use crate::rules::program::Bucket;

    #[test]
    fn buckets_are_those_of_the_calendar() {
        let epoch = date(1970, 1, 1);
        let mut day = date(1899, 12, 25);
        while day < date(2105, 3, 2) {
            let number = (day - epoch).get_days();
            let month = bucket_of(Bucket::Month, number);
            assert_eq!(month, i32::from(day.year()) * 12 + i32::from(day.month()) - 1, "{day}");
            let first = number - i32::from(day.day()) + 1;
            assert_eq!(first_day(Bucket::Month, month), first, "{day}");
            let monday = number - i32::from(day.weekday().to_monday_zero_offset());
            assert_eq!(first_day(Bucket::Week, bucket_of(Bucket::Week, number)), monday, "{day}");
            assert_eq!(first_day(Bucket::Day, bucket_of(Bucket::Day, number)), number);
            day = day.tomorrow().unwrap();
        }
    }
}
