const text: string = await new Response(Deno.stdin.readable).text();
await Deno.stdout.write(new TextEncoder().encode(text.toUpperCase()));
