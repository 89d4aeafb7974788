process.exit 7
