const soon = <T>(value: T) => new Promise<T>((done) => setTimeout(done, 1, value));
export const word: string = await soon("several");
