// SPDX-License-Identifier: MIT OR Apache-2.0
//! The facts for the text about a run's end: its limits, and the reason of a cancel.

use unsandbox_jailer::commands::{Plan, RunLimits, StepKind};
use unsandbox_protocol::CancelReason;

/// The bounds of a run.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    pub cancelled: Option<CancelReason>,
    pub limits: RunLimits,
    pub output_bytes: u64,
    /// The limit of each step except the run.
    pub compile_ms: u64,
    pub run_ms: u64,
}

impl Ending {
    pub fn new(plan: &Plan, output_bytes: u64) -> Ending {
        let wall_ms = |is_run: bool| {
            let step = plan.steps.iter().find(|step| (step.kind == StepKind::Run) == is_run);
            step.map_or(0, |step| step.wall_ms)
        };
        Ending {
            cancelled: None,
            limits: plan.limits,
            output_bytes,
            compile_ms: wall_ms(false),
            run_ms: wall_ms(true),
        }
    }

    pub fn wall_ms_of(&self, kind: StepKind) -> u64 {
        if kind == StepKind::Run { self.run_ms } else { self.compile_ms }
    }
}
