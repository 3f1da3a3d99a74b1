import com.azure.core.credential.TokenCredential;
import com.azure.core.credential.TokenRequestContext;
import com.azure.identity.DefaultAzureCredentialBuilder;
import com.azure.identity.ManagedIdentityCredentialBuilder;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.Properties;

/** azure-identity: Token CREDENTIAL RESOURCE [CLIENT_ID] */
public class Token {
    public static void main(String[] arguments) throws Exception {
        ObjectNode answer = new ObjectMapper().createObjectNode().put("version", version());
        long start = System.nanoTime();
        try {
            String client = arguments.length > 2 ? arguments[2] : null;
            TokenRequestContext request = new TokenRequestContext().addScopes(arguments[1] + "/.default");
            answer.put("token", credential(arguments[0], client).getTokenSync(request).getToken());
        } catch (RuntimeException error) {
            // As an uncaught exception is seen, causes and all.
            StringWriter seen = new StringWriter();
            error.printStackTrace(new PrintWriter(seen));
            answer.put("error", seen.toString());
        }
        System.out.println(answer.put("milliseconds", (System.nanoTime() - start) / 1_000_000));
        // The HTTP client's threads would keep the process for a while.
        System.exit(0);
    }

    private static TokenCredential credential(String name, String client) {
        if (name.equals("DefaultAzureCredential")) {
            // As in every cloud that the public one's discovery does not list: the authority host is trusted as it is.
            return new DefaultAzureCredentialBuilder().disableInstanceDiscovery().build();
        }
        ManagedIdentityCredentialBuilder builder = new ManagedIdentityCredentialBuilder();
        return (client == null ? builder : builder.clientId(client)).build();
    }

    private static String version() throws Exception {
        Properties properties = new Properties();
        properties.load(Token.class.getResourceAsStream("/META-INF/maven/com.azure/azure-identity/pom.properties"));
        return properties.getProperty("version");
    }
}
