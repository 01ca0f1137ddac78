<?php
// Prints UUIDs, each on a line. Then it keeps its process busy until the file `answer` exists
// in the folder `busy`, so that another process gets the next request.
for ($made = 0; $made < $_GET['ids']; $made++) {
    echo uuid_create(), "\n";
}
touch($_GET['busy'] . '/' . getmypid());
while (!file_exists($_GET['busy'] . '/answer')) {
    usleep(10000);
    clearstatcache();
}
