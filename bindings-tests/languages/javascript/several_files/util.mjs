export const part = "sev";
