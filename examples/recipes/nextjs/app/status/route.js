// Reads the secret at each request; a route that is rendered at build time would keep its value.
export const dynamic = "force-dynamic";

export function GET() {
  return Response.json({ database: new URL(process.env.DATABASE_URL).hostname });
}
