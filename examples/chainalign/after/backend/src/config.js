// Configuration that differs between environments. A missing key fails the start.
import { exitOnError, load } from "infisical-config";

export const config = await load({
  required: ["PORT", "DATABASE_URL", "JWT_SECRET", "MAIL_GREETING"],
}).catch(exitOnError);
