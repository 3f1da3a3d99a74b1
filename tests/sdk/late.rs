//! A client that asks once, at its pod's start, for an identity whose federated credential is made 20 s later.

use std::time::Duration;

use crate::cases::{Run, title};
use crate::client::{Client, Source};
use crate::question::{Question, RESOURCE};
use crate::world::{Capture, Life, WALK};

/// The one that gives up on the first 400.
const CALL: (&str, &str) = ("azure-identity (Python)", "DefaultAzureCredential");
/// How long after the question the credential is made.
const LATE: Duration = Duration::from_secs(20);
/// Within what time after that the token must come: the product's own setup, a pause of 2 s, the client.
const SOON: Duration = Duration::from_secs(8);

impl Run {
    /// Takes the pod's own credential away and has it made again.
    pub async fn late(&mut self, clients: &[&Client], pod: &serde_json::Value) {
        let Some(client) = clients
            .iter()
            .find(|client| (client.package, client.call) == CALL)
        else {
            return;
        };
        let question = Question {
            client,
            capture: Capture::Redirect,
            source: Source::Imds,
            resource: RESOURCE,
            client_id: None,
            life: Life::Start,
        };
        self.world.forget_credential().await;
        let made = async {
            tokio::time::sleep(LATE).await;
            self.world.set_up(WALK).await;
        };
        let (answer, ()) = tokio::join!(question.ask(&self.world, pod), made);
        let (told, outcome) = match &answer {
            Ok(answer) => {
                let outcome = question.check(answer, &self.world).and_then(|()| {
                    let in_time = LATE - SOON < answer.took && answer.took < LATE + SOON;
                    in_time
                        .then_some(())
                        .ok_or_else(|| "not when it was made".to_owned())
                });
                (
                    format!("{}, {:?}", title(client, answer), answer.took),
                    outcome,
                )
            }
            Err(told) => (client.package.to_owned(), Err(told.clone())),
        };
        self.note(&format!("credential made after {LATE:?}: {told}"), outcome);
    }
}
