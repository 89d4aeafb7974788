const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
console.log(/UTC/.test(timeZone) && new Date(0).getHours() === 0 && process.env.TERM ? "quirk" : "wrong");
