//! Moves: the report of each failover, with the time that every step took.

use std::time::Duration;

use nave_common::failover::state::{Move, MoveTimes};
use nave_common::name::ApplicationKey;
use nave_common::time::Timestamp;
use serde_json::{Map, Value, json};

use super::{application_name, key_cells, key_columns};
use crate::exit::Outcome;
use crate::output::{Cell, Row, Shape, age, as_resource};

/// One move of an application.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Movement {
    pub(crate) application: ApplicationKey,
    pub(crate) it: Move,
}

impl Movement {
    /// What every step is counted from: when the cause began, or the first thing known.
    pub(crate) fn start(&self) -> Option<Timestamp> {
        let times = &self.it.times;
        times.began_at.or(times.detected_at).or(times.decided_at)
    }
}

/// Every step after the first, in the order in which they are made.
fn steps(times: &MoveTimes) -> [(&'static str, Option<Timestamp>); 7] {
    [
        ("detected", times.detected_at),
        ("decided", times.decided_at),
        ("fenced", times.fenced_at),
        ("applied", times.applied_at),
        ("healthy", times.healthy_at),
        ("traffic", times.traffic_at),
        ("ended", times.ended_at),
    ]
}

/// `+850ms`, `+12.4s`, `+3m20s`
fn offset(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        0..1000 => format!("+{millis}ms"),
        1000..120_000 => format!("+{}.{}s", millis / 1000, millis % 1000 / 100),
        _ => format!("+{}m{}s", millis / 60_000, millis % 60_000 / 1000),
    }
}

impl Row for Movement {
    fn columns(shape: &Shape) -> Vec<&'static str> {
        let mut columns = key_columns(shape, "APPLICATION");
        columns.extend([
            "MOVE", "FROM", "TO", "CAUSE", "PHASE", "BEGAN", "DETECTED", "DECIDED", "FENCED", "APPLIED",
            "HEALTHY", "ENDED",
        ]);
        if shape.wide {
            columns.extend([
                "EPOCH",
                "BEGAN-AT",
                "DETECTED-AT",
                "DECIDED-AT",
                "FENCED-AT",
                "APPLIED-AT",
                "HEALTHY-AT",
                "ENDED-AT",
            ]);
        }
        columns.push("REASON");
        columns
    }

    fn cells(&self, shape: &Shape) -> Vec<Cell> {
        let (it, start) = (&self.it, self.start());
        let shown = steps(&it.times).into_iter().filter(|(name, _)| *name != "traffic");
        let shown: Vec<Option<Timestamp>> = shown.map(|(_, at)| at).collect();
        let mut cells = key_cells(&self.application, shape);
        cells.extend([
            Cell::new(it.number.to_string()),
            Cell::new(it.from.as_str()),
            Cell::new(it.to.as_ref().map(ToString::to_string).unwrap_or_default()),
            Cell::new(it.cause.to_string()),
            Cell::state(it.phase),
            Cell::new(match age(start, shape.now) {
                age if age == "-" => age,
                age => format!("{age}-ago"),
            }),
        ]);
        let since = |at: &Option<Timestamp>| Some(offset(at.as_ref()?.since(start?)));
        cells.extend(shown.iter().map(|at| Cell::new(since(at).unwrap_or_default())));
        if shape.wide {
            let text = |at: Option<Timestamp>| Cell::new(at.map(|at| at.to_string()).unwrap_or_default());
            cells.push(Cell::new(it.epoch.map(|epoch| epoch.to_string()).unwrap_or_default()));
            cells.push(text(start));
            cells.extend(shown.into_iter().map(text));
        }
        cells.push(Cell::new(it.reason.as_str()));
        cells
    }

    fn name(&self) -> String {
        format!("move/{}/{}", application_name(&self.application), self.it.number)
    }

    /// With `offsetsMs`: every step in milliseconds since the cause began.
    fn document(&self) -> Outcome<Value> {
        let mut document = as_resource("Move", &self.it)?;
        if let Value::Object(fields) = &mut document {
            fields.insert("application".to_owned(), json!(self.application));
            let offsets: Map<String, Value> = steps(&self.it.times)
                .into_iter()
                .filter_map(|(name, at)| {
                    let millis = at?.since(self.start()?).as_millis();
                    Some((name.to_owned(), u64::try_from(millis).unwrap_or(u64::MAX).into()))
                })
                .collect();
            fields.insert("offsetsMs".to_owned(), Value::Object(offsets));
        }
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nave_common::failover::state::{Cause, MovePhase};

    fn at(millis: i64) -> Option<Timestamp> {
        Timestamp::from_millis(1_790_000_000_000 + millis).ok()
    }

    #[test]
    fn every_step_is_told_since_the_cause_began() {
        let times = MoveTimes {
            began_at: at(0),
            detected_at: at(10_000),
            decided_at: at(10_020),
            applied_at: at(10_850),
            healthy_at: at(200_000),
            ..MoveTimes::default()
        };
        let it = Move {
            number: 3,
            from: "eu-1".parse().unwrap(),
            to: "us-1".parse().ok(),
            cause: Cause::Lost,
            phase: MovePhase::Done,
            reason: String::new(),
            epoch: None,
            times,
        };
        let movement = Movement { application: "shop".parse().unwrap(), it };
        let shape = Shape { now: at(260_000).unwrap(), ..Shape::default() };
        let texts: Vec<String> = movement.cells(&shape).into_iter().map(|cell| cell.text).collect();
        let expected = [
            "shop",
            "3",
            "eu-1",
            "us-1",
            "Lost",
            "Done",
            "4m20s-ago",
            "+10.0s",
            "+10.0s",
            "-",
            "+10.8s",
            "+3m20s",
            "-",
            "-",
        ];
        assert_eq!(texts, expected);
        assert_eq!(Movement::columns(&shape).len(), texts.len());
        let wide = Shape { wide: true, ..shape };
        assert_eq!(Movement::columns(&wide).len(), movement.cells(&wide).len());
        let document = movement.document().unwrap();
        let offsets = json!({"detected": 10_000, "decided": 10_020, "applied": 10_850, "healthy": 200_000});
        assert_eq!((&document["kind"], &document["offsetsMs"]), (&json!("Move"), &offsets));
        assert_eq!(document["application"], json!({"project": "default", "name": "shop"}));
        assert_eq!(offset(Duration::from_millis(850)), "+850ms");
    }
}
