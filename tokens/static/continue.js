// Goes on by itself where "Go on" would have to be pressed.
document.getElementById("continue").requestSubmit();
