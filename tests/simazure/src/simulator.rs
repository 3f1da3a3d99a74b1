//! The simulation's own pages, `/simulator/`, and the faults that they call down. No sign-in.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::azure::Azure;
use crate::connection::Scissors;
use crate::faults::{Act, Answer, Fault, Moment, Room};
use crate::journal::{Details, Entry};

/// How long Resource Manager waits for a resource provider before it answers 504 itself.
const GATEWAY_TIMEOUT: Duration = Duration::from_secs(60);

/// How far the clock is to move, seconds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance: f64,
}

pub(crate) fn routes() -> Router<Arc<Azure>> {
    Router::new()
        .route(
            "/simulator/journal",
            get(read_journal).delete(clear_journal),
        )
        .route(
            "/simulator/faults",
            get(read_faults).post(add_fault).delete(clear_faults),
        )
        .route("/simulator/clock", get(read_clock).post(advance_clock))
}

async fn read_journal(State(azure): State<Arc<Azure>>) -> Json<Vec<Entry>> {
    Json(azure.journal.entries())
}

async fn clear_journal(State(azure): State<Arc<Azure>>) -> StatusCode {
    azure.journal.clear();
    StatusCode::NO_CONTENT
}

async fn read_faults(State(azure): State<Arc<Azure>>) -> Json<Value> {
    let faults = azure.faults();
    Json(json!({"calls": faults.calls(), "faults": faults.waiting()}))
}

async fn add_fault(
    State(azure): State<Arc<Azure>>,
    fault: Result<Json<Fault>, JsonRejection>,
) -> Response {
    let added = fault
        .map_err(|error| error.to_string())
        .and_then(|Json(fault)| azure.faults().add(fault).map_err(|error| error.to_string()));
    match added {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, why).into_response(),
    }
}

async fn clear_faults(State(azure): State<Arc<Azure>>) -> StatusCode {
    azure.faults().clear();
    StatusCode::NO_CONTENT
}

async fn read_clock(State(azure): State<Arc<Azure>>) -> Json<Value> {
    Json(json!({"unix": azure.clock.unix().as_secs_f64()}))
}

async fn advance_clock(
    State(azure): State<Arc<Azure>>,
    asked: Result<Json<Advance>, JsonRejection>,
) -> Response {
    let by = asked
        .map_err(|error| error.to_string())
        .and_then(|Json(asked)| {
            Duration::try_from_secs_f64(asked.advance).map_err(|error| error.to_string())
        });
    match by {
        Ok(by) => {
            azure.clock.advance(by);
            read_clock(State(azure)).await.into_response()
        }
        Err(why) => (StatusCode::BAD_REQUEST, why).into_response(),
    }
}

/// Middleware that lets the faults strike the calls of a room.
pub(crate) async fn strike(
    State((azure, room)): State<(Arc<Azure>, Room)>,
    Extension(scissors): Extension<Scissors>,
    request: Request,
    next: Next,
) -> Response {
    let met = azure.faults().meet(
        room,
        request.method().as_str(),
        request.uri().path(),
        azure.clock.now(),
    );
    let Some((moment, act)) = met else {
        return next.run(request).await;
    };
    let note = |mut response: Response, details: Option<Details>| {
        response.extensions_mut().insert(Details {
            fault: Some((moment, act.clone())),
            ..details.unwrap_or_default()
        });
        response
    };
    if let Act::Delay(seconds) = act {
        let delay = Duration::from_secs_f64(seconds);
        let (mut response, late) = delayed(&azure, room, moment, delay, request, next).await;
        let details = response.extensions_mut().remove();
        return note(if late { gateway_timeout() } else { response }, details);
    }
    let details = match moment {
        Moment::Before => None,
        Moment::After => next.run(request).await.extensions_mut().remove(),
    };
    match &act {
        Act::Answer(answer) => note(answer.response(), details),
        _ => {
            scissors.cut();
            note(StatusCode::OK.into_response(), details)
        }
    }
}

/// Runs the call and waits before or after it; true when Resource Manager would not have waited so long.
async fn delayed(
    azure: &Azure,
    room: Room,
    moment: Moment,
    delay: Duration,
    request: Request,
    next: Next,
) -> (Response, bool) {
    let late = room == Room::Arm && delay > GATEWAY_TIMEOUT;
    let delay = if late { GATEWAY_TIMEOUT } else { delay };
    if moment == Moment::Before {
        azure.clock.wait(delay).await;
    }
    let response = next.run(request).await;
    if moment == Moment::After {
        azure.clock.wait(delay).await;
    }
    (response, late)
}

fn gateway_timeout() -> Response {
    let message = "The gateway did not receive a response from the resource provider within the specified time period.";
    Answer::error(504, "GatewayTimeout", message).response()
}

impl Answer {
    fn response(&self) -> Response {
        // A fault is checked when it is added; what could not be sent is not here.
        let status = StatusCode::from_u16(self.status).unwrap_or_default();
        let mut response = match &self.body {
            Value::Null => status.into_response(),
            Value::String(text) => (status, text.clone()).into_response(),
            body => (status, Json(body)).into_response(),
        };
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
