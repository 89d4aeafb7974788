export const more: string = "er";
