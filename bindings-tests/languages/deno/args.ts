for (const arg of Deno.args) console.log(arg);
