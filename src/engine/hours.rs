//! Hours of the week that the watermark has passed become part of what is usual, before anything else is counted.

use crate::event::Timestamp;
use crate::rules::program::{Measure, SeriesIx};

use super::detect::zone_of;
use super::scene::Scene;

impl Scene<'_> {
    /// Folds the hours that are over, up to the watermark of the series' events.
    pub fn fold_hours(&mut self, series: SeriesIx, until: Timestamp) {
        let plan = self.plan;
        let own = &plan.program.series[usize::from(series.0)];
        let Some(first) = self.row.first_event().filter(|_| own.measure == Measure::Usual) else { return };
        let began = self.task.series.get(&own.key).map_or(Timestamp::MIN, |age| age.began);
        let zone = zone_of(self.calendar, &own.zone, self.profile, self.user);
        let calendar = &mut *self.calendar;
        let state = self.row.series_mut(own);
        state.fold_hours((first.max(began), until), |time| calendar.hour_at(zone, time));
    }
}
