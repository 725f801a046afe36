// Sends the form at once. Without this script, staff press "Go on".
document.getElementById("continue").requestSubmit();
