//! Every name the product and its users share: labels, annotations, variables, containers, paths.
//!
//! The names are the contract (azure-workload-identity 1.6.0 where it has one), so they are said once, here.

/// Namespace label that opts a namespace in, and pod label that asks for (`true`) or refuses (`false`) identity.
pub const USE: &str = "azure.workload.identity/use";

/// Pod annotation that asks for identity and proxy.
pub const INJECT_PROXY: &str = "azure.workload.identity/inject-proxy-sidecar";
/// Pod annotation: the proxy's port.
pub const PROXY_PORT: &str = "azure.workload.identity/proxy-sidecar-port";
/// Pod and ServiceAccount annotation: seconds the projected token lives.
pub const TOKEN_EXPIRATION: &str = "azure.workload.identity/service-account-token-expiration";
/// Pod annotation: containers left alone, separated by semicolons.
pub const SKIP_CONTAINERS: &str = "azure.workload.identity/skip-containers";
/// ServiceAccount annotation: client id of the identity.
pub const CLIENT_ID: &str = "azure.workload.identity/client-id";
/// ServiceAccount annotation: tenant of the identity.
pub const TENANT_ID: &str = "azure.workload.identity/tenant-id";

/// How IMDS requests reach the proxy: `redirect` or `env`.
pub const CAPTURE: &str = "identity-injector.io/capture";
/// Whether the proxy hands other IMDS paths to the node: `allow` or `deny`.
pub const IMDS_PASSTHROUGH: &str = "identity-injector.io/imds-passthrough";
/// Namespace annotation: which pods get identity without asking, `requested` or `service-account`.
pub const SELECT: &str = "identity-injector.io/select";
/// CPU request of the injected containers.
pub const PROXY_CPU_REQUEST: &str = "identity-injector.io/proxy-cpu-request";
/// CPU limit of the injected containers.
pub const PROXY_CPU_LIMIT: &str = "identity-injector.io/proxy-cpu-limit";
/// Memory request of the injected containers.
pub const PROXY_MEMORY_REQUEST: &str = "identity-injector.io/proxy-memory-request";
/// Memory limit of the injected containers.
pub const PROXY_MEMORY_LIMIT: &str = "identity-injector.io/proxy-memory-limit";
/// Log level of the proxy.
pub const PROXY_LOG_LEVEL: &str = "identity-injector.io/proxy-log-level";
/// ServiceAccount annotation: JSON map of resource id or object id to client id.
pub const RESOURCE_IDS: &str = "identity-injector.io/resource-ids";
/// Annotation we write: what was added, by which version and settings.
pub const STATUS: &str = "identity-injector.io/status";

/// Every annotation that means something on some object.
pub const ANNOTATIONS: [&str; 16] = [
    INJECT_PROXY,
    PROXY_PORT,
    TOKEN_EXPIRATION,
    SKIP_CONTAINERS,
    CLIENT_ID,
    TENANT_ID,
    CAPTURE,
    IMDS_PASSTHROUGH,
    SELECT,
    PROXY_CPU_REQUEST,
    PROXY_CPU_LIMIT,
    PROXY_MEMORY_REQUEST,
    PROXY_MEMORY_LIMIT,
    PROXY_LOG_LEVEL,
    RESOURCE_IDS,
    STATUS,
];

/// Annotation by which kubectl picks a container.
pub const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// Annotation that marks a static pod's image in the API server.
pub const MIRROR_POD: &str = "kubernetes.io/config.mirror";

/// Init container that redirects 169.254.169.254:80 to the proxy.
pub const INIT_CONTAINER: &str = "azwi-proxy-init";
/// The proxy's container.
pub const PROXY_CONTAINER: &str = "azwi-proxy";
/// Volume of the projected token. Name, mount and file never move.
pub const TOKEN_VOLUME: &str = "azure-identity-token";
/// Folder the token volume is mounted at.
pub const TOKEN_MOUNT: &str = "/var/run/secrets/azure/tokens";
/// The token's file in its folder.
pub const TOKEN_FILE: &str = "azure-identity-token";
/// The token's whole path, `TOKEN_MOUNT` and `TOKEN_FILE`.
pub const TOKEN_PATH: &str = "/var/run/secrets/azure/tokens/azure-identity-token";
/// Label of a Namespace: the Pod Security level that the API server enforces there.
pub const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";
/// User and group the proxy runs as; the redirect exempts it.
pub const PROXY_UID: i64 = 1501;
/// The proxy's port unless the pod names another.
pub const DEFAULT_PROXY_PORT: u16 = 8000;
/// Seconds the projected token lives unless something says otherwise.
pub const DEFAULT_TOKEN_EXPIRATION: i64 = 3600;
/// The binary's path in its image.
pub const BINARY: &str = "/identity-injector";

/// Client id of the identity.
pub const AZURE_CLIENT_ID: &str = "AZURE_CLIENT_ID";
/// Tenant of the identity.
pub const AZURE_TENANT_ID: &str = "AZURE_TENANT_ID";
/// Path of the projected token.
pub const AZURE_FEDERATED_TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
/// Microsoft Entra's address, slash at the end kept.
pub const AZURE_AUTHORITY_HOST: &str = "AZURE_AUTHORITY_HOST";
/// App Service token endpoint.
pub const IDENTITY_ENDPOINT: &str = "IDENTITY_ENDPOINT";
/// App Service secret that a token request must carry.
pub const IDENTITY_HEADER: &str = "IDENTITY_HEADER";
/// The instance metadata service's address.
pub const IMDS_ENDPOINT: &str = "IMDS_ENDPOINT";
/// Replaces the IMDS address in the SDKs that honour it.
pub const AZURE_POD_IDENTITY_AUTHORITY_HOST: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
/// Further `IDENTITY_HEADER` values the proxy accepts, newline-separated; proxy container only.
pub const ACCEPTED_IDENTITY_HEADERS: &str = "IDENTITY_INJECTOR_ACCEPTED_HEADERS";
/// JSON map of resource id or object id to client id, as the `RESOURCE_IDS` annotation has it; proxy container only.
pub const PROXY_RESOURCE_IDS: &str = "IDENTITY_INJECTOR_RESOURCE_IDS";

/// The instance metadata service of every Azure node.
pub const IMDS_URL: &str = "http://169.254.169.254";
/// The token path, the one path under `/metadata/identity` that is served.
pub const TOKEN_REQUEST_PATH: &str = "/metadata/identity/oauth2/token";
/// Audience of the projected token and of every federated credential.
pub const DEFAULT_AUDIENCE: &str = "api://AzureADTokenExchange";
/// Path the API server posts AdmissionReviews to.
pub const MUTATE_PATH: &str = "/mutate-v1-pod";
/// Path the API server posts what makes pods to, for warnings alone.
pub const WARN_PATH: &str = "/warn-v1-workload";
/// Namespace of what we run, and of setup's ledger.
pub const SYSTEM_NAMESPACE: &str = "identity-injector-system";
/// The webhook's Service, MutatingWebhookConfiguration and Lease.
pub const WEBHOOK: &str = "identity-injector";
/// MutatingWebhookConfiguration of azure-workload-identity and of the AKS add-on.
pub const REFERENCE_WEBHOOK: &str = "azure-wi-webhook-mutating-webhook-configuration";
/// The Secret in which the webhook keeps the certificates that it makes.
pub const CERTIFICATES: &str = "identity-injector-certs";
/// Annotation of that Secret: `leaf` or `authority` is made anew.
pub const ROTATE: &str = "identity-injector.io/rotate";
/// ConfigMap in which setup keeps what it made.
pub const LEDGER: &str = "identity-injector-setup";
/// Field manager of everything setup applies.
pub const FIELD_MANAGER: &str = "identity-injector";

/// Whether a label or annotation is one of our keys, or may be meant to be.
#[must_use]
pub fn resembles_ours(key: &str) -> bool {
    ["azure.workload", "identity-injector"]
        .iter()
        .any(|start| key.starts_with(start))
}
