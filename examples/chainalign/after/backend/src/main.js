import { createServer } from "node:http";

import { createHandler } from "graphql-http/lib/use/http";

import { config } from "./config.js";
import * as members from "./members.js";
import { rootValue, schema } from "./schema.js";
import * as tokens from "./tokens.js";

const handler = createHandler({
  schema,
  rootValue,
  context: async ({ raw }) => ({ name: await tokens.name(raw.headers.authorization) }),
});

await members.prepare();
const server = createServer(handler);
server.listen(Number(config.PORT), () => console.log(`backend listens on ${config.PORT}`));

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => {
    server.close(() => members.close());
    server.closeIdleConnections();
  });
}
