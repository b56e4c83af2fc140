import { createServer } from "node:http";

import { graphql } from "graphql";

import { config } from "./config.js";
import { root, schema } from "./schema.js";

async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString("utf8"));
}

export const server = createServer(async (request, response) => {
  response.setHeader("content-type", "application/json");
  try {
    const { query, variables } = await body(request);
    const answer = await graphql({ schema, source: query, rootValue: root, variableValues: variables });
    response.end(JSON.stringify(answer));
  } catch {
    response.statusCode = 400;
    response.end(JSON.stringify({ errors: [{ message: "send JSON with a query" }] }));
  }
});

server.listen(config.port);
