// The members, stored in PostgreSQL.
import pg from "pg";

import { config } from "./config.js";

const pool = new pg.Pool({ connectionString: config.DATABASE_URL, max: 5 });

export async function prepare() {
  await pool.query("CREATE TABLE IF NOT EXISTS members (name text PRIMARY KEY)");
}

export async function add(name) {
  await pool.query("INSERT INTO members (name) VALUES ($1) ON CONFLICT DO NOTHING", [name]);
}

export async function all() {
  const { rows } = await pool.query("SELECT name FROM members ORDER BY name");
  return rows;
}

export const close = () => pool.end();
