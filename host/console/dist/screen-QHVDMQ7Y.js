import{h as e}from"/console/chunk-QNCEEGCY.js";function a(){return e`<div class="page"><header class="page-head"><h1>Events</h1></header></div>`}export{a as default};
