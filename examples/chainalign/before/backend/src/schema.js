import { buildSchema } from "graphql";

import { config } from "./config.js";

export const schema = buildSchema(`
  type Query {
    "The greeting of a mail to a new member."
    greeting(name: String!): String!
    "Whether the database is set up, without saying where it is."
    ready: Boolean!
  }
`);

export const root = {
  greeting: ({ name }) => config.greeting.replace("${name}", name),
  ready: () => config.databaseUrl.startsWith("postgresql://"),
};
