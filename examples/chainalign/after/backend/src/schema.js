import { buildSchema } from "graphql";

import { config } from "./config.js";
import * as members from "./members.js";
import * as tokens from "./tokens.js";

export const schema = buildSchema(`
  type Member { name: String! }
  type Session { token: String!, greeting: String! }
  type Query {
    "Who has joined."
    members: [Member!]!
    "The member that a valid token belongs to."
    me: Member
  }
  type Mutation {
    "Joins, or comes back: a token, and the mail's greeting."
    join(name: String!): Session!
  }
`);

export const rootValue = {
  members: members.all,
  me: (_, { name }) => (name ? { name } : null),
  join: async ({ name }) => {
    await members.add(name);
    return { token: await tokens.sign(name), greeting: config.MAIL_GREETING.replace("${name}", name) };
  },
};
