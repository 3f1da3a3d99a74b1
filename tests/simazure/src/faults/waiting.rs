//! The faults that wait, and whose turn it is.

use std::time::Duration;

use jiff::Timestamp;

use super::{Act, Fault, Moment, Room, Unfit};

/// The calls counted and the faults that wait.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    calls: u64,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    fault: Fault,
    until: Option<Timestamp>,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) -> Result<(), Unfit> {
        fault.check()?;
        self.waiting.push(Waiting { fault, until: None });
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Calls of Resource Manager since the start, those that a fault kept from their effect among them.
    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    pub(crate) fn waiting(&self) -> Vec<Fault> {
        self.waiting.iter().map(|one| one.fault.clone()).collect()
    }

    /// What strikes this call: the first fault, in the order they came, whose turn it is. Each that is concerned counts it.
    pub(crate) fn meet(
        &mut self,
        room: Room,
        method: &str,
        path: &str,
        now: Timestamp,
    ) -> Option<(Moment, Act)> {
        if room == Room::Arm {
            self.calls += 1;
        }
        self.waiting
            .retain(|one| one.until.is_none_or(|until| now < until));
        let mut struck = None;
        for one in &mut self.waiting {
            if !one.fault.concerns(room, method, path) {
            } else if one.fault.skip > 0 {
                one.fault.skip -= 1;
            } else if struck.is_none() {
                one.strike(now);
                struck = Some((one.fault.moment, one.fault.act.clone()));
            }
        }
        self.waiting.retain(|one| one.fault.times != Some(0));
        struck
    }
}

impl Waiting {
    fn strike(&mut self, now: Timestamp) {
        if let (Some(seconds), None) = (self.fault.seconds, self.until) {
            self.until = Some(now + Duration::from_secs_f64(seconds));
        }
        match &mut self.fault.times {
            Some(times) => *times = times.saturating_sub(1),
            None if self.fault.seconds.is_none() => self.fault.times = Some(0),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::Faults;
    use crate::faults::{Act, Answer, Fault, Moment, Room, Unfit};

    /// At which of six calls, one a second, a fault strikes: GET /a, PUT /a/b, twice over, then both at Entra.
    fn strikes(fault: &Value) -> Vec<usize> {
        let mut faults = Faults::default();
        faults
            .add(serde_json::from_value(fault.clone()).unwrap())
            .unwrap();
        let calls = [
            (Room::Arm, "GET", "/a"),
            (Room::Arm, "PUT", "/A/b"),
            (Room::Arm, "GET", "/a"),
            (Room::Arm, "PUT", "/a/b"),
            (Room::Entra, "GET", "/a"),
            (Room::Entra, "PUT", "/a/b"),
        ];
        let mut struck = Vec::new();
        for (index, (room, method, path)) in calls.into_iter().enumerate() {
            let now = Timestamp::UNIX_EPOCH + Duration::from_secs(u64::try_from(index).unwrap());
            if faults.meet(room, method, path, now).is_some() {
                struck.push(index + 1);
            }
        }
        assert_eq!(faults.calls(), 4);
        struck
    }

    #[test]
    fn which_calls() {
        let table: [(Value, &[usize]); 9] = [
            (json!({"act": "drop"}), &[1]),
            (json!({"act": "drop", "skip": 3}), &[4]),
            (json!({"act": "drop", "times": 2}), &[1, 2]),
            (json!({"act": "drop", "room": "entra"}), &[5]),
            (
                json!({"act": "drop", "method": "put", "times": 9}),
                &[2, 4, 6],
            ),
            (json!({"act": "drop", "path": "/a/*", "skip": 1}), &[4]),
            (json!({"act": "drop", "seconds": 3}), &[1, 2, 3]),
            (json!({"act": "drop", "seconds": 3, "skip": 2}), &[3, 4, 5]),
            (json!({"act": "drop", "path": "/c"}), &[]),
        ];
        for (fault, expected) in table {
            assert_eq!(strikes(&fault), expected, "{fault}");
        }
    }

    #[test]
    fn the_nth_call() {
        let mut faults = Faults::default();
        let answer = Answer::error(500, "InternalServerError", "m");
        let act = Act::Answer(answer);
        faults
            .add(Fault::of_call(2, Moment::After, act.clone()))
            .unwrap();
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(faults.meet(Room::Entra, "GET", "/", now), None);
        assert_eq!(faults.meet(Room::Arm, "GET", "/", now), None);
        assert_eq!(
            faults.meet(Room::Arm, "GET", "/", now),
            Some((Moment::After, act))
        );
        assert!(faults.waiting().is_empty());
    }

    #[test]
    fn what_is_refused() {
        let table = [
            (json!({"delay": -1.0}), Unfit::Seconds("delay", -1.0)),
            (json!({"answer": {"status": 99}}), Unfit::Status(99)),
            (
                json!({"answer": {"status": 200, "headers": {"a b": ""}}}),
                Unfit::Header("a b".to_owned()),
            ),
        ];
        for (act, expected) in table {
            let fault: Fault = serde_json::from_value(json!({"act": act})).unwrap();
            assert_eq!(Faults::default().add(fault), Err(expected), "{act}");
        }
        for unread in [
            json!({}),
            json!({"act": "drop", "tims": 1}),
            json!({"act": "fall"}),
        ] {
            assert!(serde_json::from_value::<Fault>(unread).is_err());
        }
    }
}
