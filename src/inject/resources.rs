//! Requests and limits of the injected containers: from the server's flags, and from annotations.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use serde::Serialize;

use super::keys::Key;
use super::sources::Sources;
use super::{NotAQuantity, Quantity, Refusal};
use crate::names;

/// Requests and limits of an injected container. No request is above its limit: no API server takes such a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// CPU request.
    pub cpu_request: Quantity,
    /// CPU limit.
    pub cpu_limit: Quantity,
    /// Memory request.
    pub memory_request: Quantity,
    /// Memory limit.
    pub memory_limit: Quantity,
}

/// The flags, each checked by itself.
#[derive(Debug, Args)]
struct ResourceFlags {
    /// CPU request of the injected containers; the default yields to a lower limit
    #[arg(long, env = "PROXY_CPU_REQUEST", default_value = "10m", value_parser = quantity)]
    proxy_cpu_request: Quantity,
    /// CPU limit of the injected containers; the default yields to a higher request. Below it a pod starts later:
    /// with 100m, starting two containers and the hook that waits takes 0.7 s more
    #[arg(long, env = "PROXY_CPU_LIMIT", default_value = "500m", value_parser = quantity)]
    proxy_cpu_limit: Quantity,
    /// Memory request of the injected containers; the default yields to a lower limit
    #[arg(long, env = "PROXY_MEMORY_REQUEST", default_value = "16Mi", value_parser = quantity)]
    proxy_memory_request: Quantity,
    /// Memory limit of the injected containers; the default yields to a higher request
    #[arg(long, env = "PROXY_MEMORY_LIMIT", default_value = "64Mi", value_parser = quantity)]
    proxy_memory_limit: Quantity,
}

/// A request and its limit, each where somebody gave it.
#[derive(Clone, Copy)]
struct Given<'a> {
    request: Option<&'a Quantity>,
    limit: Option<&'a Quantity>,
}

impl Given<'_> {
    /// Both. Where only one is given, the other's default yields to it.
    fn or(self, request: &Quantity, limit: &Quantity) -> (Quantity, Quantity) {
        let (request, limit) = match (self.request, self.limit) {
            (Some(given), None) if given > limit => (given, given),
            (None, Some(given)) if given < request => (given, given),
            (given, other) => (given.unwrap_or(request), other.unwrap_or(limit)),
        };
        (request.clone(), limit.clone())
    }
}

impl Sources<'_> {
    /// Requests and limits.
    ///
    /// # Errors
    /// When a value is no quantity, or a request is above its limit.
    pub fn resources(self) -> Result<Resources, Refusal> {
        let default = &self.defaults.resources;
        let (cpu_request, cpu_limit) = self.pair(
            (names::PROXY_CPU_REQUEST, &default.cpu_request),
            (names::PROXY_CPU_LIMIT, &default.cpu_limit),
        )?;
        let (memory_request, memory_limit) = self.pair(
            (names::PROXY_MEMORY_REQUEST, &default.memory_request),
            (names::PROXY_MEMORY_LIMIT, &default.memory_limit),
        )?;
        Ok(Resources {
            cpu_request,
            cpu_limit,
            memory_request,
            memory_limit,
        })
    }

    fn pair(
        self,
        (request_name, default_request): (&'static str, &Quantity),
        (limit_name, default_limit): (&'static str, &Quantity),
    ) -> Result<(Quantity, Quantity), Refusal> {
        let (request, limit) = (self.quantity(request_name)?, self.quantity(limit_name)?);
        if let (Some((request_key, request)), Some((limit_key, limit))) = (&request, &limit)
            && request > limit
        {
            return Err(Refusal::RequestAboveLimit {
                request_key: *request_key,
                request: request.to_string(),
                limit_key: *limit_key,
                limit: limit.to_string(),
            });
        }
        let given = Given {
            request: request.as_ref().map(|(_, quantity)| quantity),
            limit: limit.as_ref().map(|(_, quantity)| quantity),
        };
        Ok(given.or(default_request, default_limit))
    }

    fn quantity(self, name: &'static str) -> Result<Option<(Key, Quantity)>, Refusal> {
        let Some((key, value)) = self.find(name) else {
            return Ok(None);
        };
        let quantity = value.parse().map_err(|_| Refusal::Quantity {
            key,
            value: value.to_owned(),
        })?;
        Ok(Some((key, quantity)))
    }
}

impl Args for Resources {
    fn augment_args(command: Command) -> Command {
        ResourceFlags::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        ResourceFlags::augment_args_for_update(command)
    }
}

impl FromArgMatches for Resources {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let flags = ResourceFlags::from_arg_matches(matches)?;
        let (cpu_request, cpu_limit) = pair(
            matches,
            ("proxy_cpu_request", &flags.proxy_cpu_request),
            ("proxy_cpu_limit", &flags.proxy_cpu_limit),
        )?;
        let (memory_request, memory_limit) = pair(
            matches,
            ("proxy_memory_request", &flags.proxy_memory_request),
            ("proxy_memory_limit", &flags.proxy_memory_limit),
        )?;
        Ok(Resources {
            cpu_request,
            cpu_limit,
            memory_request,
            memory_limit,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn pair(
    matches: &ArgMatches,
    (request_id, request): (&str, &Quantity),
    (limit_id, limit): (&str, &Quantity),
) -> Result<(Quantity, Quantity), clap::Error> {
    let given = |id| matches.value_source(id) != Some(ValueSource::DefaultValue);
    if given(request_id) && given(limit_id) && request > limit {
        let flag = |id: &str| format!("--{}", id.replace('_', "-"));
        let sentence = format!(
            "{} {request} is more than {} {limit}; lower the request or raise the limit\n",
            flag(request_id),
            flag(limit_id),
        );
        return Err(clap::Error::raw(ErrorKind::ArgumentConflict, sentence));
    }
    let given = Given {
        request: given(request_id).then_some(request),
        limit: given(limit_id).then_some(limit),
    };
    Ok(given.or(request, limit))
}

fn quantity(text: &str) -> Result<Quantity, String> {
    text.parse().map_err(|NotAQuantity| {
        "not a quantity; use a number with a unit as in 10m, 0.5, 64Mi".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[derive(clap::Parser)]
    struct Server {
        #[command(flatten)]
        resources: Resources,
    }

    #[test]
    fn a_default_yields_to_the_flag_that_was_given() {
        let above = "error: --proxy-memory-request 2Gi is more than --proxy-memory-limit 1Gi; \
                     lower the request or raise the limit\n";
        let table: [(&[&str], Result<[&str; 4], &str>); 7] = [
            (&[], Ok(["10m", "500m", "16Mi", "64Mi"])),
            (
                &["--proxy-cpu-request=50m"],
                Ok(["50m", "500m", "16Mi", "64Mi"]),
            ),
            (&["--proxy-cpu-request=2"], Ok(["2", "2", "16Mi", "64Mi"])),
            (&["--proxy-cpu-limit=5m"], Ok(["5m", "5m", "16Mi", "64Mi"])),
            (
                &["--proxy-memory-limit=8Mi"],
                Ok(["10m", "500m", "8Mi", "8Mi"]),
            ),
            (
                &["--proxy-memory-request=1Gi", "--proxy-memory-limit=2Gi"],
                Ok(["10m", "500m", "1Gi", "2Gi"]),
            ),
            (
                &["--proxy-memory-request=2Gi", "--proxy-memory-limit=1Gi"],
                Err(above),
            ),
        ];
        for (flags, expected) in table {
            let flags_given = ["server"].iter().chain(flags);
            let matches = Server::command().get_matches_from(flags_given);
            let texts = Server::from_arg_matches(&matches).map(|server| {
                let Resources {
                    cpu_request,
                    cpu_limit,
                    memory_request,
                    memory_limit,
                } = server.resources;
                [cpu_request, cpu_limit, memory_request, memory_limit].map(|it| it.to_string())
            });
            let texts = texts.map_err(|error| error.to_string());
            let expected = expected.map(|texts| texts.map(str::to_owned));
            assert_eq!(texts, expected.map_err(str::to_owned), "{flags:?}");
        }
    }
}
