//! Something that begins and is to reach an end: what a milestone judges.

use crate::event::Timestamp;
use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};
use crate::rules::program::Course;

use super::{Marks, Taken};

/// How many starts are kept: the first, which counts, and the latest, of which one may begin anew.
const STARTS: usize = 8;

/// What an event is to a course.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It begins.
    Start,
    /// It reaches its end.
    End,
    /// This step is done.
    Step(u8),
}

/// Starts that no end has followed, and when each step was done last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CourseState {
    pub(super) marks: Marks,
    /// The newest end; starts up to it count no more.
    ended: Option<Timestamp>,
    /// Starts after that, by time.
    starts: Vec<Timestamp>,
    steps: Vec<Option<Timestamp>>,
}

impl CourseState {
    pub(super) fn add(&mut self, course: &Course, time: Timestamp, part: Part) -> Taken {
        self.marks.newest = self.marks.newest.max(time);
        match part {
            Part::Start if self.ended.is_some_and(|ended| time <= ended) => return Taken::Late,
            Part::Start => {
                let place = self.starts.partition_point(|own| *own < time);
                if self.starts.get(place) != Some(&time) {
                    self.starts.insert(place, time);
                }
                if self.starts.len() > STARTS {
                    self.starts.remove(1);
                }
            }
            Part::End => self.end(time),
            Part::Step(number) => {
                let steps = course.steps.as_ref().map_or(0, |steps| steps.names.len());
                self.steps.resize(steps, None);
                if let Some(own) = self.steps.get_mut(usize::from(number)) {
                    *own = (*own).max(Some(time));
                }
            }
        }
        while let Some(ended) = self.ended_by_steps(course) {
            self.end(ended);
        }
        Taken::Applied
    }

    fn end(&mut self, time: Timestamp) {
        self.ended = self.ended.max(Some(time));
        self.starts.retain(|start| *start > time);
    }

    /// When the last of the closing steps was done, if all are done since the start.
    fn ended_by_steps(&self, course: &Course) -> Option<Timestamp> {
        if course.closing.is_empty() {
            return None;
        }
        let start = self.starts.first()?;
        let done = |number: &u8| self.done_since(*number, *start);
        let times: Option<Vec<Timestamp>> = course.closing.iter().map(done).collect();
        times?.into_iter().max()
    }

    /// When a step was done last, if that is not before a time.
    pub(super) fn done_since(&self, number: u8, start: Timestamp) -> Option<Timestamp> {
        self.steps.get(usize::from(number)).copied().flatten().filter(|done| *done >= start)
    }

    /// The start that counts.
    pub(super) fn start(&self) -> Option<Timestamp> {
        self.starts.first().copied()
    }

    /// Takes back what an event of this time was; what it had ended does not begin again.
    pub(super) fn remove(&mut self, time: Timestamp, part: Part) {
        match part {
            Part::Start => self.starts.retain(|start| *start != time),
            Part::Step(number) => {
                if let Some(own) = self.steps.get_mut(usize::from(number)) {
                    *own = own.filter(|own| *own != time);
                }
            }
            Part::End => {}
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.starts.len() as u64);
        put_varint(out, self.steps.len() as u64);
        let mut put = |time: Option<Timestamp>| {
            out.push(u8::from(time.is_some()));
            if let Some(time) = time {
                put_signed(out, self.marks.newest.0.wrapping_sub(time.0));
            }
        };
        put(self.ended);
        self.steps.iter().for_each(|step| put(*step));
        self.starts.iter().for_each(|start| put_signed(out, self.marks.newest.0.wrapping_sub(start.0)));
    }

    pub(super) fn decode(marks: Marks, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let (starts, steps) = (reader.count()?, reader.count()?);
        let back = |reader: &mut Reader<'_>| {
            reader.signed().map(|back| Timestamp(marks.newest.0.wrapping_sub(back)))
        };
        let time = |reader: &mut Reader<'_>| {
            if reader.byte()? == 0 { Ok(None) } else { back(reader).map(Some) }
        };
        let ended = time(reader)?;
        let steps = (0..steps).map(|_| time(reader)).collect::<Result<_, _>>()?;
        let starts: Vec<Timestamp> = (0..starts).map(|_| back(reader)).collect::<Result<_, _>>()?;
        if !starts.is_sorted() || starts.len() > STARTS {
            return Err(FormatError::Malformed("starts"));
        }
        Ok(Self { marks, ended, starts, steps })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.starts.capacity() * size_of::<Timestamp>()
            + self.steps.capacity() * size_of::<Option<Timestamp>>()
    }
}
