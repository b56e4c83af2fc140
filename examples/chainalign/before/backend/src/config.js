// Configuration that differs between machines, from .env or .env.production.
import dotenv from "dotenv";

const production = process.env.NODE_ENV === "production";
dotenv.config({ path: production ? ".env.production" : ".env", quiet: true });

function needed(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: see .env.example`);
  return value;
}

export const config = {
  port: Number(process.env.PORT ?? 4000),
  databaseUrl: needed("DATABASE_URL"),
  jwtSecret: needed("JWT_SECRET"),
  adminPasswordHash: needed("ADMIN_PASSWORD_HASH"),
  greeting: needed("MAIL_GREETING"),
};
