export const word = "se";
