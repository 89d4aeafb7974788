export const word = "several";
