export const rest: string = "eral";
