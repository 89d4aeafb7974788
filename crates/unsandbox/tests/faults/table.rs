// SPDX-License-Identifier: MIT OR Apache-2.0
//! A row of the table: a fault, and what is expected of it.

use crate::restart::Restart;
use crate::stub::Play;
use std::time::Duration;
use unsandbox::Error;

/// Which kind of server has the fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Server {
    /// Says nothing of features; the fault is there every time.
    Service,
    /// Knows idempotency keys; the fault is there once.
    Ours,
}

pub enum Scene {
    /// A submission is answered so.
    Submission(fn() -> Play),
    /// Anything else.
    Own(fn() -> Outcome),
    /// A server of ours that is killed or stopped, and started again.
    Restart(Restart),
}

pub struct Row {
    pub fault: &'static str,
    pub scene: Scene,
    pub deadline: Option<Duration>,
    service: &'static str,
    ours: Option<&'static str>,
    pub within: Duration,
}

impl Row {
    /// The fault in the answer to a submission; outcomes as `END; SUBMISSIONS`.
    pub fn submission(
        fault: &'static str,
        play: fn() -> Play,
        service: &'static str,
        ours: &'static str,
    ) -> Row {
        let within = Duration::from_secs(4);
        Row {
            fault,
            scene: Scene::Submission(play),
            deadline: None,
            service,
            ours: Some(ours),
            within,
        }
    }

    /// What becomes of a call at a server that is started again; outcomes as `END; STARTS`.
    pub fn restart(fault: &'static str, outcome: &'static str, restart: Restart) -> Row {
        Row { scene: Scene::Restart(restart), ..Row::own(fault, outcome, || unreachable!()) }
            .within(20_000)
    }

    pub fn own(fault: &'static str, outcome: &'static str, scene: fn() -> Outcome) -> Row {
        let within = Duration::from_secs(4);
        Row {
            fault,
            scene: Scene::Own(scene),
            deadline: None,
            service: outcome,
            ours: None,
            within,
        }
    }

    pub fn within(self, ms: u64) -> Row {
        Row { within: Duration::from_millis(ms), ..self }
    }

    /// The call has a deadline, and is over at most 100 ms after it.
    pub fn deadline(self, ms: u64) -> Row {
        Row { deadline: Some(Duration::from_millis(ms)), ..self.within(ms + 100) }
    }

    pub fn expected(&self) -> Vec<(Server, &'static str)> {
        let ours = self.ours.map(|ours| (Server::Ours, ours));
        [Some((Server::Service, self.service)), ours].into_iter().flatten().collect()
    }

    /// As a line of the documentation.
    pub fn line(&self) -> String {
        let cells = |outcome: &str| outcome.replace("; ", " | ");
        let ours = match (&self.scene, self.ours) {
            (Scene::Restart(_), _) => String::new(),
            (_, None) => " – | – |".to_string(),
            (_, Some(ours)) => format!(" {} |", cells(ours)),
        };
        let seconds = self.within.as_secs_f64();
        format!("| {} | {} |{ours} {seconds} s |", self.fault, cells(self.service))
    }
}

pub struct Outcome {
    pub end: String,
    pub submissions: usize,
    pub runs: usize,
}

impl Outcome {
    pub fn shown(&self) -> String {
        format!("{}; {}", self.end, self.submissions)
    }
}

/// A call's end in the words of the table.
pub fn end_of<T>(end: &Result<T, Error>) -> String {
    match end {
        Ok(_) => "answered".to_string(),
        Err(error) if error.may_have_run() => format!("{}, may have run", error.code().name()),
        Err(error) => error.code().name().to_string(),
    }
}

impl Play {
    /// Whether it says that nothing ran.
    pub fn is_refusal(&self) -> bool {
        match self {
            Play::Answer(503, _, body) => body.ends_with(br#""stopping"}"#),
            Play::Answer(status, ..) => (300..500).contains(status),
            _ => false,
        }
    }
}
