console.log(Deno.env.get("GREETING"));
