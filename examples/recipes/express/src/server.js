import express from "express";

const { DATABASE_URL, PORT = "3000" } = process.env;
const app = express();

app.get("/", (request, response) => {
  response.json({ database: new URL(DATABASE_URL).hostname, mode: app.get("env") });
});
const server = app.listen(Number(PORT), () => console.log(`listening on ${PORT}`));

process.once("SIGTERM", () => server.close());
