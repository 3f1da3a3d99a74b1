// @azure/identity: token.js CREDENTIAL RESOURCE [CLIENT_ID]
const { DefaultAzureCredential, ManagedIdentityCredential } = require("@azure/identity");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

// The package exports no version, nor the file that has it.
const manifest = join(__dirname, "node_modules/@azure/identity/package.json");
const { version } = JSON.parse(readFileSync(manifest, "utf8"));

async function main([name, resource, clientId]) {
  const start = performance.now();
  let outcome;
  try {
    const credential =
      name === "DefaultAzureCredential"
        ? new DefaultAzureCredential()
        : new ManagedIdentityCredential(clientId ? { clientId } : {});
    outcome = { token: (await credential.getToken(`${resource}/.default`)).token };
  } catch (error) {
    outcome = { error: String(error) };
  }
  const milliseconds = Math.round(performance.now() - start);
  console.log(JSON.stringify({ version, ...outcome, milliseconds }));
}

main(process.argv.slice(2));
