//! The clients: how each is started, and from where it takes a token in which environment.

use std::path::Path;
use std::process::Command;

use crate::world::Capture;

/// Where `make sdk` installs what the clients need.
const INSTALLED: &str = "target/sdk";
const MANAGED: &str = "ManagedIdentityCredential";
const DEFAULT: &str = "DefaultAzureCredential";

/// Where a client takes its token from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Entra itself, by the pod's token: the proxy is not asked.
    WorkloadIdentity,
    /// The proxy, as App Service 2019-08-01.
    AppService,
    /// The proxy, as App Service 2017-09-01.
    AppService2017,
    /// The proxy, as IMDS.
    Imds,
}

/// One way of a package to ask for a token.
pub struct Client {
    /// The package.
    pub package: &'static str,
    /// What is called.
    pub call: &'static str,
    knows: Knows,
    program: Program,
}

/// Which of the pod's variables a client knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Knows {
    /// Those of App Service 2019-08-01. The IMDS is at 169.254.169.254.
    AppService,
    /// Those, and the one that moves the IMDS.
    ImdsHost,
    /// All three: it uses the pod's token itself when it may.
    TokenFile,
    /// The pod's token and App Service's, but not the one that moves the IMDS.
    TokenFileNotImdsHost,
    /// Those of App Service 2017-09-01 alone.
    AppService2017,
}

/// A program; paths that are not of the tree are where the clients were installed.
enum Program {
    Curl,
    AzureCli,
    Python(&'static str, &'static str),
    JavaScript,
    Java,
    /// A binary.
    Built(&'static str),
}

/// Every client, newest first in each language.
pub const CLIENTS: &[Client] = &[
    client("curl", "GET", Knows::ImdsHost, Program::Curl),
    client(
        "azure-cli",
        "az login --identity",
        Knows::ImdsHost,
        Program::AzureCli,
    ),
    client("azure-identity (Python)", MANAGED, Knows::ImdsHost, PYTHON),
    client("azure-identity (Python)", DEFAULT, Knows::TokenFile, PYTHON),
    client(
        "azure-identity (Python)",
        MANAGED,
        Knows::ImdsHost,
        PYTHON_BEFORE_MSAL,
    ),
    client(
        "azure-identity (Python)",
        DEFAULT,
        Knows::TokenFile,
        PYTHON_BEFORE_MSAL,
    ),
    client(
        "msrestazure",
        "MSIAuthentication",
        Knows::AppService2017,
        MSRESTAZURE,
    ),
    client(
        "@azure/identity",
        MANAGED,
        Knows::TokenFile,
        Program::JavaScript,
    ),
    client(
        "@azure/identity",
        DEFAULT,
        Knows::TokenFile,
        Program::JavaScript,
    ),
    client(
        "azure-identity (Java)",
        MANAGED,
        Knows::TokenFile,
        Program::Java,
    ),
    client(
        "azure-identity (Java)",
        DEFAULT,
        Knows::TokenFile,
        Program::Java,
    ),
    client(
        "azidentity",
        MANAGED,
        Knows::AppService,
        Program::Built("go/token"),
    ),
    client(
        "azidentity",
        DEFAULT,
        Knows::TokenFileNotImdsHost,
        Program::Built("go/token"),
    ),
    client(
        "adal of go-autorest",
        "ServicePrincipalToken",
        Knows::AppService2017,
        Program::Built("go-legacy/token"),
    ),
    client(
        "azure_identity (Rust)",
        MANAGED,
        Knows::AppService,
        Program::Built("rust/debug/token"),
    ),
];

const PYTHON: Program = Program::Python("python", "python/ask.py");
const PYTHON_BEFORE_MSAL: Program = Program::Python("python-legacy", "python/ask.py");
const MSRESTAZURE: Program = Program::Python("python-legacy", "python-legacy/ask.py");

const fn client(
    package: &'static str,
    call: &'static str,
    knows: Knows,
    program: Program,
) -> Client {
    Client {
        package,
        call,
        knows,
        program,
    }
}

impl Source {
    pub fn name(self) -> &'static str {
        match self {
            Source::WorkloadIdentity => "workload identity",
            Source::AppService => "App Service",
            Source::AppService2017 => "App Service 2017",
            Source::Imds => "IMDS",
        }
    }
}

impl Client {
    /// The sources that it can be steered to.
    pub fn sources(&self, capture: Capture) -> Vec<Source> {
        use Source::{AppService, AppService2017, Imds, WorkloadIdentity};
        match (self.knows, capture) {
            (Knows::AppService, Capture::Env) => vec![AppService],
            (Knows::AppService, Capture::Redirect) | (Knows::ImdsHost, _) => vec![AppService, Imds],
            (Knows::TokenFileNotImdsHost, Capture::Env) => vec![WorkloadIdentity, AppService],
            (Knows::TokenFile | Knows::TokenFileNotImdsHost, _) => {
                vec![WorkloadIdentity, AppService, Imds]
            }
            (Knows::AppService2017, Capture::Env) => vec![AppService2017],
            (Knows::AppService2017, Capture::Redirect) => vec![Imds],
        }
    }

    /// The container whose environment steers it there, and what of that environment it must not have.
    pub fn steered(
        &self,
        capture: Capture,
        source: Source,
    ) -> (&'static str, &'static [&'static str]) {
        let as_injected = ("app", [].as_slice());
        match (source, capture) {
            (Source::WorkloadIdentity, _) => as_injected,
            (Source::AppService, _) => match self.knows {
                Knows::TokenFile | Knows::TokenFileNotImdsHost => {
                    ("app", &["AZURE_FEDERATED_TOKEN_FILE"])
                }
                _ => as_injected,
            },
            (Source::AppService2017, _) => ("legacy", &[]),
            (Source::Imds, _) if self.knows == Knows::AppService2017 => as_injected,
            (Source::Imds, Capture::Redirect) => ("bare", &[]),
            (Source::Imds, Capture::Env) => (
                "app",
                &[
                    "IDENTITY_ENDPOINT",
                    "IDENTITY_HEADER",
                    "AZURE_FEDERATED_TOKEN_FILE",
                ],
            ),
        }
    }

    /// Whether the caller can name an identity.
    pub fn names_identities(&self) -> bool {
        self.call != DEFAULT
    }

    /// Whether what the application sees of a refusal has the proxy's words in it. Of a 400, msrestazure raises an
    /// HTTPError without a text, Rust's guesses at the cause, and Java's chain takes IMDS to be away.
    pub fn shows_refusals(&self, source: Source) -> bool {
        match (self.package, self.call, source) {
            ("msrestazure" | "azure_identity (Rust)", ..) => false,
            ("azure-identity (Java)", call, Source::Imds) => call != DEFAULT,
            _ => true,
        }
    }

    /// The program, ready to be told resource and client id.
    pub fn command(&self) -> Command {
        let installed = |path: &str| Path::new(INSTALLED).join(path);
        let mut command = Command::new("timeout");
        command.arg("60");
        match &self.program {
            Program::Curl => command.arg("tests/sdk/curl/token.sh"),
            Program::AzureCli => command
                .arg("tests/sdk/azure-cli/token.sh")
                .arg(installed("azure-cli")),
            Program::Python(environment, program) => command
                .arg(installed(environment).join("bin/python"))
                .arg(Path::new("tests/sdk").join(program)),
            Program::JavaScript => command.arg("node").arg(installed("javascript/token.js")),
            Program::Java => command
                .args(["java", "-cp"])
                .arg(format!("{INSTALLED}/java:{INSTALLED}/java/lib/*"))
                .arg("Token"),
            Program::Built(path) => command.arg(installed(path)),
        };
        if !matches!(self.program, Program::AzureCli) {
            command.arg(self.call);
        }
        command
    }
}
