const run = async (x) => console.log(await Promise.resolve(x));
run("quirk");
module.exports = { run };
