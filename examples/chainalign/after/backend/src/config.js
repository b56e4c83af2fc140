// Everything that differs from one place to the next; what is missing is told at the start.
import { exitOnError, load } from "infisical-config";

export const config = await load({
  required: ["PORT", "DATABASE_URL", "JWT_SECRET", "MAIL_GREETING"],
}).catch(exitOnError);
