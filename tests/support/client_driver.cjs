// Calls the JavaScript client of OpenMeter: a request on each line of standard input, an answer on each of standard output.
// The first argument is the folder that the client is installed in.
const { createRequire } = require("node:module");
const readline = require("node:readline");
const { OpenMeter } = createRequire(process.argv[2] + "/")("@openmeter/sdk");

let client;

async function answered(request) {
  if (request.class) {
    client = new OpenMeter(...request.args);
    return null;
  }
  const names = request.call.split(".");
  const method = names.pop();
  const owner = names.reduce((part, name) => part[name], client);
  return owner[method](...request.args);
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let answer;
    try {
      answer = { result: (await answered(JSON.parse(line))) ?? null };
    } catch (error) {
      answer = { error: error.name, message: error.message, status: error.status ?? null, body: error };
    }
    process.stdout.write(JSON.stringify(answer) + "\n");
  }
}

main();
