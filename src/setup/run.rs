//! What each task does, from the config to its exit code.

use std::io::Write;

use tokio_util::sync::CancellationToken;

use super::cluster::Cluster;
use super::desired::Desired;
use super::emit::{self, Format};
use super::journal::{Journal, Taken};
use super::observe::{ObserveError, Observed};
use super::pace::Rates;
use super::plan::{self, Plan};
use super::progress::Progress;
use super::removal::{self, Removal};
use super::render::{self, Output};
use super::report::{Report, report};
use super::verify::{self, Finding, Verdict, Waits};
use super::{Options, SetupError, apply, config, connect, destroy, look, notice, observe, publish};
use crate::azure::arm;
use crate::azure::endpoints::Endpoints;
use crate::exit::Exit;
use crate::kubernetes;
use crate::screen::Screen;

const RATES: Rates = Rates::PUBLISHED;

/// What a run is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Plan,
    /// With the ConfigMap that gets the report.
    Apply(Option<String>),
    Emit(Format),
    Verify(Waits),
    PlanRemoval,
    Destroy,
}

/// What every task works with.
struct Run<'a> {
    options: &'a Options,
    desired: Desired,
    endpoints: Endpoints,
    arm: arm::Client,
    cluster: Cluster,
    screen: &'a Screen,
}

/// Does the task until it is done or `shutdown` is cancelled.
pub(super) async fn execute(
    options: &Options,
    task: Task,
    screen: &Screen,
    shutdown: &CancellationToken,
) -> Result<Exit, SetupError> {
    let run = unless(shutdown, Run::new(options, screen)).await?;
    match task {
        Task::Plan => unless(shutdown, run.plan()).await,
        Task::Apply(report) => run.apply(report.as_deref(), shutdown).await,
        Task::Emit(format) => unless(shutdown, run.emit(format)).await,
        Task::Verify(waits) => unless(shutdown, run.verify(waits)).await,
        Task::PlanRemoval => unless(shutdown, run.plan_removal()).await,
        Task::Destroy => unless(shutdown, run.destroy()).await,
    }
}

/// Works unless `shutdown` is cancelled first.
async fn unless<T>(
    shutdown: &CancellationToken,
    work: impl Future<Output = Result<T, SetupError>>,
) -> Result<T, SetupError> {
    tokio::select! {
        outcome = work => outcome,
        () = shutdown.cancelled() => Err(SetupError::Interrupted),
    }
}

impl<'a> Run<'a> {
    async fn new(options: &'a Options, screen: &'a Screen) -> Result<Self, SetupError> {
        let desired = config::read(&options.config).map_err(|source| SetupError::Config {
            path: options.config.clone(),
            source: Box::new(source),
        })?;
        let endpoints = connect::endpoints(options).await?;
        let arm = connect::resource_manager(options, &endpoints, desired.group.subscription)?;
        let config = kubernetes::config(options.kubeconfig.as_deref()).await?;
        let cluster = Cluster::new(config, &options.ledger_namespace)?;
        tracing::info!("API server at {}", cluster.address);
        Ok(Self {
            options,
            desired,
            endpoints,
            arm,
            cluster,
            screen,
        })
    }

    async fn plan(&self) -> Result<Exit, SetupError> {
        let plan = look(&self.desired, &self.arm, &self.cluster).await?;
        print(&render::render(&plan, self.options.output))?;
        Ok(planned(plan.steps.is_empty()))
    }

    async fn emit(&self, format: Format) -> Result<Exit, SetupError> {
        let observed = observe::observe(&self.desired, &self.arm, &self.cluster, RATES).await?;
        let observed = Observed {
            // A script keeps no ledger.
            no_ledger_namespace: None,
            ..observed
        };
        let plan = plan::plan(&self.desired, &observed)?;
        print(&Ok(emit::emit(&plan, &self.desired, format)))?;
        Ok(Exit::Done)
    }

    async fn verify(&self, waits: Waits) -> Result<Exit, SetupError> {
        let entra = connect::entra(&self.endpoints)?;
        let resource = &self.endpoints.audience;
        let (desired, arm, cluster) = (&self.desired, &self.arm, &self.cluster);
        let findings = verify::verify(desired, arm, cluster, &entra, resource, waits).await;
        let findings = findings.map_err(ObserveError::from)?;
        print(&render::render_findings(&findings, self.options.output))?;
        Ok(verdict(&findings))
    }

    async fn plan_removal(&self) -> Result<Exit, SetupError> {
        Ok(planned(self.removal().await?.steps.is_empty()))
    }

    async fn destroy(&self) -> Result<Exit, SetupError> {
        let removal = self.removal().await?;
        let steps = removal.steps.len();
        let progress = Progress::new(self.screen, steps);
        let (desired, arm, cluster) = (&self.desired, &self.arm, &self.cluster);
        let left = destroy::destroy(&removal, desired, arm, cluster, RATES, &progress).await?;
        for left in left {
            tracing::warn!("left: {left}");
        }
        tracing::info!(steps, "what setup made is removed");
        Ok(Exit::Done)
    }

    /// Plans a removal, and prints it.
    async fn removal(&self) -> Result<Removal, SetupError> {
        let found = destroy::find(&self.desired, &self.arm, &self.cluster, RATES).await?;
        let removal = removal::removal(&self.desired, &found);
        print(&render::render_removal(&removal, self.options.output))?;
        Ok(removal)
    }

    /// Plans, carries that out, and reports it however it ended; in the ConfigMap `name` too.
    async fn apply(
        &self,
        name: Option<&str>,
        shutdown: &CancellationToken,
    ) -> Result<Exit, SetupError> {
        let (plan, taken, ended) = match unless(shutdown, self.plan_to_apply()).await {
            Ok(plan) => {
                let journal = Journal::new(Progress::new(self.screen, plan.steps.len()));
                let ended = unless(shutdown, self.carry_out(&plan, &journal)).await;
                (Some(plan), journal.taken(), ended)
            }
            Err(error) => (None, Vec::new(), Err(error)),
        };
        let error = ended.as_ref().err().map(ToString::to_string);
        let report = report(&self.desired, plan.as_ref(), &taken, error);
        match (ended, self.tell(name, &report, &taken).await) {
            (Err(error), Err(other)) => {
                tracing::error!("{other}");
                Err(error)
            }
            (ended, told) => ended.and(told).map(|()| Exit::Done),
        }
    }

    /// Plans, and prints the plan for people; machines get the report.
    async fn plan_to_apply(&self) -> Result<Plan, SetupError> {
        let plan = look(&self.desired, &self.arm, &self.cluster).await?;
        if self.options.output == Output::Table {
            print(&render::render(&plan, Output::Table))?;
        }
        Ok(plan)
    }

    async fn carry_out(&self, plan: &Plan, journal: &Journal) -> Result<(), SetupError> {
        let (desired, arm, cluster) = (&self.desired, &self.arm, &self.cluster);
        apply::apply(plan, desired, arm, cluster, RATES, journal).await?;
        tracing::info!(steps = plan.steps.len(), "setup is done");
        Ok(())
    }

    async fn tell(
        &self,
        name: Option<&str>,
        report: &Report,
        taken: &[Taken],
    ) -> Result<(), SetupError> {
        if self.options.output == Output::Json {
            print(&render::render_report(report))?;
        }
        let Some(name) = name else {
            return Ok(());
        };
        let published = publish::publish(&self.cluster, name, report).await;
        let reference = published.map_err(SetupError::Report)?;
        let notices = notice::notices(report, taken);
        publish::notify(&self.cluster, &notices, &reference).await;
        Ok(())
    }
}

fn verdict(findings: &[Finding]) -> Exit {
    let has = |verdict| findings.iter().any(|finding| finding.verdict == verdict);
    if has(Verdict::Failed) {
        Exit::Failed
    } else if has(Verdict::Unknown) {
        Exit::CouldNotCheck
    } else {
        Exit::Done
    }
}

fn planned(nothing: bool) -> Exit {
    match nothing {
        true => Exit::Done,
        false => Exit::Failed,
    }
}

fn print(rendered: &Result<String, serde_json::Error>) -> Result<(), SetupError> {
    let text = rendered
        .as_ref()
        .map_err(|error| std::io::Error::other(error.to_string()))?;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}
