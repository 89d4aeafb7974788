export const part: string = "sev";
