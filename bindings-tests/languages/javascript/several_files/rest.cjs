module.exports = "al";
