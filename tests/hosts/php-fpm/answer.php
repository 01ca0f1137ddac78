<?php
// Answers with UUIDs, one a line. Then it keeps its child busy, so that another child
// takes the next request, until the file `answer` exists in the folder that is named.
for ($made = 0; $made < $_GET['ids']; $made++) {
    echo uuid_create(), "\n";
}
touch($_GET['busy'] . '/' . getmypid());
while (!file_exists($_GET['busy'] . '/answer')) {
    usleep(10000);
    clearstatcache();
}
